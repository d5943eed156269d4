"""From SurgicalSAM's low-resolution masks to labels of the frame, and to what is really there."""

import cv2
import numba
import numpy as np

from surgseg_ros.networks.sam_canvas import (
    GRID,
    IMAGE_SIZE,
    MASK_SCALE,
    frame_on_canvas,
    mask_matrices,
)

_TAPS = 4  # low-resolution pixels that two bilinear enlargements may blend, along one axis
TEMPERATURE = 0.07  # of NT-Xent, by which the published prototypes are trained


class MaskScaler:
    """Enlarges masks to frames of one size; see networks.sam_canvas.mask_matrices."""

    def __init__(self, height: int, width: int, grid: int = GRID) -> None:
        """grid: features per side; masks have 4 pixels for each, 256 as published."""
        on_canvas, side = frame_on_canvas(height, width), MASK_SCALE * grid
        self._rows, self._columns = mask_matrices(height, width, side)
        self._taps = *_band(self._rows), *_band(self._columns)
        # of a mask, what shows the frame and not the padding: height and width
        self.content = tuple(-(-n * side // IMAGE_SIZE) for n in on_canvas)

    def upscale(self, logits: np.ndarray) -> np.ndarray:
        """N x 256 x 256 float32 -> N x H x W float32."""
        upscaled: np.ndarray = self._rows @ logits @ self._columns.T
        return upscaled

    def paint(self, logits: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
        """Labels HxW uint8 of masks N x 256 x 256, the last of which is on top; 0 elsewhere.

        class_ids: N. Equal to painting each enlarged mask (logit > 0) over those before it.
        """
        labels = np.zeros((len(self._rows), len(self._columns)), np.uint8)
        _paint(
            np.ascontiguousarray(logits[::-1], np.float32),
            np.ascontiguousarray(class_ids[::-1], np.uint8),
            *self._taps,
            labels,
        )
        return labels


def presence(
    logits: np.ndarray,
    class_ids: np.ndarray,
    features: np.ndarray,
    prototypes: np.ndarray,
    content: tuple[int, ...] | None = None,
    temperature: float = TEMPERATURE,
) -> np.ndarray:
    """How likely each mask shows its class rather than another, N float32 in [0, 1].

    The product of two probabilities, 0 for an empty mask. Confidence: the mean of the sigmoid
    inside the mask; a mask that SAM is unsure of is hardly above 0.5. Resemblance: the softmax
    over all classes of cosine(mean feature inside the mask, prototype) / temperature. That is the
    contrast the prototypes are trained by, so a mask that strays to another class's instrument
    resembles that one, and is rejected.

    logits: N x 256 x 256; class_ids: N, from 1; features: 64 x 64 x 256; prototypes: K x 256;
    content: height and width of the part of the mask that is no padding; None: all of it.
    temperature: of NT-Xent in training.
    """
    prototypes = _unit(prototypes)
    scores = np.zeros(len(logits), np.float32)
    height, width = content or logits.shape[1:]
    for i, (plane, class_id) in enumerate(zip(logits, class_ids, strict=True)):
        inside = np.zeros(plane.shape, np.float32)
        inside[:height, :width] = plane[:height, :width] > 0
        if inside.any():
            confidence = (1 / (1 + np.exp(-plane[inside > 0]))).mean()
            resemblance = _resemblance(inside, features, prototypes, temperature)
            scores[i] = confidence * resemblance[class_id - 1]
    return scores


def accepted(
    quality: np.ndarray, there: np.ndarray, quality_threshold: float, presence_threshold: float
) -> np.ndarray:
    """Which of N masks show something that is there, bool: the rule where no truth is known.

    quality: as predicted, N; there: presence(), N, 0 for empty masks.
    """
    return (quality >= quality_threshold) & (there >= presence_threshold) & (there > 0)


def _resemblance(
    inside: np.ndarray, features: np.ndarray, prototypes: np.ndarray, temperature: float
) -> np.ndarray:
    """Probability of each class for the mean of the features 64 x 64 x D that a mask covers.

    einsum, not a matrix product: BLAS starts threads, which cost 100 ms on a busy machine.
    """
    coverage = cv2.resize(inside, features.shape[:2], interpolation=cv2.INTER_AREA)
    covered = np.nonzero(coverage)
    embedding = np.einsum('c,cd->d', coverage[covered], features[covered])
    cosines = np.einsum('kd,d->k', prototypes, _unit(embedding))
    odds = np.exp((cosines - cosines.max()) / temperature)
    resemblance: np.ndarray = odds / odds.sum()
    return resemblance


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(lengths, 1e-12)
    return unit


def _band(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the band of each row starts, and its values, rows x 4."""
    start = np.minimum((matrix > 0).argmax(axis=1), matrix.shape[1] - _TAPS)
    return start, np.take_along_axis(matrix, start[:, None] + np.arange(_TAPS), axis=1)


@numba.njit(cache=True, nogil=True)
def _paint(
    logits: np.ndarray,
    class_ids: np.ndarray,
    row_start: np.ndarray,
    row_weights: np.ndarray,
    column_start: np.ndarray,
    column_weights: np.ndarray,
    labels: np.ndarray,
) -> None:
    """The mask on top comes first, and keeps what it has. Skips what no blend makes positive."""
    for v in range(len(row_start)):
        top, weights = row_start[v], row_weights[v]
        for i in range(len(logits)):
            row = weights[0] * logits[i, top]
            for tap in range(1, _TAPS):
                row += weights[tap] * logits[i, top + tap]
            positive = np.flatnonzero(row > 0)
            if len(positive) == 0:
                continue
            first = np.searchsorted(column_start, positive[0] - _TAPS + 1)
            last = np.searchsorted(column_start, positive[-1], side='right')
            for u in range(first, last):
                left = column_start[u]
                value = np.float32(0)
                for tap in range(_TAPS):
                    value += column_weights[u, tap] * row[left + tap]
                if value > 0 and labels[v, u] == 0:
                    labels[v, u] = class_ids[i]
