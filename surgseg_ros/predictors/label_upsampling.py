"""From scores at a fraction of the resolution to labels of every pixel.

The labels are those of bilinear interpolation (align_corners=False, as torch's) and argmax. Most
cells between four scores have the same winner at all corners and so everywhere inside, because
bilinear weights are positive; only the others are interpolated: about 1 ms instead of 20 to 140.
"""

import numba
import numpy as np

_ONE = np.float32(1)
_UNLABELLED = 255


class LabelUpsampler:
    """Scores C x h x w of a network's input -> labels of the image that was put into it.

    size: (height, width) of the image. grid: (h, w). origin: (row, column) in the network's
    input where the image begins, extent: (height, width) that it has there, px. stride: px of the
    network's input per score.
    """

    def __init__(
        self,
        size: tuple[int, int],
        grid: tuple[int, int],
        origin: tuple[int, int],
        extent: tuple[float, float],
        stride: int,
    ) -> None:
        self._size, self._grid = size, grid
        self._rows, self._columns = (
            _neighbours(*axis, stride) for axis in zip(size, grid, origin, extent, strict=True)
        )
        changes = np.flatnonzero(np.diff(self._columns[0])) + 1
        self._runs = np.concatenate(([0], changes, [size[1]]))

    def compile(self) -> None:
        """Compile the kernel for labels (seconds, once per machine), so that no frame waits."""
        self.labels(np.zeros((1, *self._grid), np.float32))

    def labels(self, scores: np.ndarray) -> np.ndarray:
        """C x h x w float32 -> H x W uint8: class of the greatest score, the first of equals.

        255 where one of the scores that are interpolated is not finite.
        """
        winners = _winners(scores)
        winners[~np.isfinite(scores).all(axis=0)] = _UNLABELLED
        labels = np.empty(self._size, np.uint8)
        _fill(scores, winners, self._rows, self._columns, self._runs, labels)
        return labels

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """C x h x w float32 -> C x H x W float32: softmax of the interpolated scores."""
        planes = np.empty((len(scores), *self._size), np.float32)
        _softmax(scores, self._rows, self._columns, planes)
        return planes


def _neighbours(
    pixels: int, cells: int, before: int, extent: float, stride: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every pixel of one axis: cell before it, cell after it, weight of the latter."""
    scale = np.float32(extent / (stride * pixels))  # cells per pixel
    padding = before * pixels / extent  # px of the image
    position = scale * (np.arange(pixels) + padding + 0.5).astype(np.float32) - np.float32(0.5)
    position = np.maximum(position, np.float32(0))
    first = np.minimum(position.astype(np.int64), cells - 1)
    return first, np.minimum(first + 1, cells - 1), np.minimum(position - first, 1).astype('f4')


@numba.njit(cache=True, nogil=True)
def _winners(scores: np.ndarray) -> np.ndarray:
    classes, height, width = scores.shape
    winners = np.zeros((height, width), np.uint8)
    for y in range(height):
        best = scores[0, y].copy()
        for k in range(1, classes):
            for x in range(width):
                if scores[k, y, x] > best[x]:
                    best[x] = scores[k, y, x]
                    winners[y, x] = k
    return winners


@numba.njit(inline='always')
def _blend(
    plane: np.ndarray,
    top: int,
    bottom: int,
    left: int,
    right: int,
    down: np.float32,
    across: np.float32,
) -> np.float32:
    """Between four scores, in the order in which torch adds."""
    above: np.float32 = plane[top, left] * (_ONE - across) + plane[top, right] * across
    below: np.float32 = plane[bottom, left] * (_ONE - across) + plane[bottom, right] * across
    return above * (_ONE - down) + below * down


@numba.njit(cache=True, nogil=True)
def _fill(
    scores: np.ndarray,
    winners: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    runs: np.ndarray,
    labels: np.ndarray,
) -> None:
    """runs: where a row of labels passes from cell to cell."""
    for y in range(labels.shape[0]):
        top, bottom, down = rows[0][y], rows[1][y], rows[2][y]
        for run in range(len(runs) - 1):
            start, end = runs[run], runs[run + 1]
            left, right = columns[0][start], columns[1][start]
            winner = winners[top, left]
            others = winners[top, right], winners[bottom, left], winners[bottom, right]
            if winner == others[0] and winner == others[1] and winner == others[2]:
                labels[y, start:end] = winner
                continue
            if winner == _UNLABELLED or _UNLABELLED in others:
                labels[y, start:end] = _UNLABELLED
                continue
            for x in range(start, end):
                across = columns[2][x]
                best, label = np.float32(-np.inf), 0
                for k in range(scores.shape[0]):
                    score = _blend(scores[k], top, bottom, left, right, down, across)
                    if score > best:
                        best, label = score, k
                labels[y, x] = label


@numba.njit(cache=True, nogil=True)
def _softmax(
    scores: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    planes: np.ndarray,
) -> None:
    classes, height, width = planes.shape
    for y in range(height):
        top, bottom, down = rows[0][y], rows[1][y], rows[2][y]
        for x in range(width):
            left, right, across = columns[0][x], columns[1][x], columns[2][x]
            best, total = np.float32(-np.inf), np.float32(0)
            for k in range(classes):
                planes[k, y, x] = _blend(scores[k], top, bottom, left, right, down, across)
                best = max(best, planes[k, y, x])
            for k in range(classes):
                planes[k, y, x] = np.exp(planes[k, y, x] - best)
                total += planes[k, y, x]
            for k in range(classes):
                planes[k, y, x] /= total
