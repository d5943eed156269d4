"""Where a frame lies on the canvas that SAM looks at. Imports no torch."""

from functools import lru_cache

import numpy as np

IMAGE_SIZE = 1024  # px: side of the canvas
PATCH = 16  # px per feature
GRID = 64  # features per side, as published
CHANNELS = 256  # of a feature
MASK_SCALE = 4  # side of the decoder's masks over the grid's


def check_canvas(side: int, name: str = 'encoder_size') -> None:
    """Raise ValueError unless it is the side of a canvas in px; `name` is what it was given as."""
    if side % PATCH or not PATCH <= side <= IMAGE_SIZE:
        raise ValueError(f'{name} is {side}, expected a multiple of {PATCH} up to {IMAGE_SIZE}')


def frame_on_canvas(height: int, width: int, canvas: int = IMAGE_SIZE) -> tuple[int, int]:
    """Height and width in px that a frame has on the canvas: its longer side fills it.

    The frame lies at the top left; right and below is padding. Rounding is SAM's.
    """
    scale = canvas * 1.0 / max(height, width)
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


@lru_cache(16)
def mask_matrices(height: int, width: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices rows (height x side), columns (width x side), float32: rows @ mask @ columns.T.

    They enlarge masks of side x side px to frames as published: to the canvas, cropped to what the
    frame fills of it, to the frame. Both steps are bilinear, so that together they are one matrix
    per axis, whose rows have at most four values that are not 0, beside each other.
    """
    canvas, used = _bilinear(side, IMAGE_SIZE), frame_on_canvas(height, width)
    rows, columns = (
        (_bilinear(part, full) @ canvas[:part]).astype(np.float32)
        for part, full in zip(used, (height, width), strict=True)
    )
    return rows, columns


def _bilinear(size: int, to: int) -> np.ndarray:
    """Matrix to x size that resizes as torch's interpolate(mode='bilinear') does."""
    position = np.maximum((np.arange(to) + 0.5) * size / to - 0.5, 0)
    first = np.floor(position).astype(int)
    weight = position - first
    matrix, row = np.zeros((to, size)), np.arange(to)
    matrix[row, first] = 1 - weight
    matrix[row, np.minimum(first + 1, size - 1)] += weight
    return matrix
