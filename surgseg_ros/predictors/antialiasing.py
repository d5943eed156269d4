"""Pillow's bilinear resizing, value for value, several times faster than Pillow."""

import cv2
import numba
import numpy as np

_BITS = 22  # of the fraction, in Pillow's integer arithmetic on 8-bit images


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize HxWx3 uint8 as Image.resize(..., BILINEAR), which torchvision and SAM use on images.

    Each output pixel blends all the pixels that it covers (a triangle filter as wide as the
    scale), first along rows, then along columns, each rounded to 8 bits. OpenCV has no such mode.
    Held to Pillow where both sides shrink or both grow: where one shrinks and one grows, Pillow
    may take the other order, and round otherwise.
    """
    if width != image.shape[1]:
        # an image on its side has its columns in a row of memory, which vectorises
        image = cv2.transpose(_resize_rows(cv2.transpose(image), width))
    return _resize_rows(image, height) if height != image.shape[0] else image


def _resize_rows(image: np.ndarray, height: int) -> np.ndarray:
    start, weights = _filter(image.shape[0], height)
    rows = np.ascontiguousarray(image).reshape(len(image), -1)
    return _blend(rows, start, weights).reshape(height, *image.shape[1:])


def _filter(size: int, to: int) -> tuple[np.ndarray, np.ndarray]:
    """First input of each output, and the weights of it and those that follow, to x n int32."""
    scale = size / to
    support = max(scale, 1.0)
    centre = (np.arange(to) + 0.5) * scale
    start = np.maximum((centre - support + 0.5).astype(int), 0)
    stop = np.minimum((centre + support + 0.5).astype(int), size)
    inputs = start[:, None] + np.arange((stop - start).max())
    weights = 1 - np.abs((inputs - centre[:, None] + 0.5) * (1 / support))
    weights = np.where(inputs < stop[:, None], np.maximum(weights, 0), 0)
    weights *= 1 / weights.sum(axis=1, keepdims=True)
    return start, (weights * (1 << _BITS) + 0.5).astype(np.int32)


@numba.njit(cache=True, nogil=True)
def _blend(rows: np.ndarray, start: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums of rows of uint8, rounded."""
    result = np.empty((len(start), rows.shape[1]), np.uint8)
    sums = np.empty(rows.shape[1], np.int32)
    for i in range(len(start)):
        sums[:] = 1 << (_BITS - 1)
        for tap in range(weights.shape[1]):
            weight = weights[i, tap]
            if weight:
                row = rows[start[i] + tap]
                for j in range(len(sums)):
                    sums[j] += weight * np.int32(row[j])
        for j in range(len(sums)):
            result[i, j] = min(sums[j] >> _BITS, 255)
    return result
