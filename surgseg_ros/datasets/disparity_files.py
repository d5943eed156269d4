"""Disparity (or depth) in files: PNG of 16 bits, float TIFF, npy."""

from pathlib import Path

import cv2
import numpy as np

SUFFIXES = ('.png', '.npy', '.tif', '.tiff')


def read_disparity(path: Path, scale: float) -> np.ndarray:
    """HxW float32 px, NaN unknown: 0 in a PNG (values / scale), NaN or infinity in TIFF and npy.

    0 in TIFF and npy is a value. Raises ValueError with one sentence for anything else.
    """
    if path.suffix.lower() == '.npy':
        values = _read_npy(path)
    else:
        read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if read is None:
            raise ValueError(f'{path} is not an image that OpenCV can read')
        values = read
    if values.ndim != 2:
        raise ValueError(f'{path} has the shape {values.shape}, expected height x width')
    if path.suffix.lower() == '.png':
        if values.dtype != np.uint16:
            raise ValueError(f'{path} has values of type {values.dtype}, expected 16 bits')
        return np.where(values == 0, np.float32(np.nan), values / np.float32(scale))
    if values.dtype.kind not in 'fiu':
        raise ValueError(f'{path} has values of type {values.dtype}, expected numbers')
    disparity = values.astype(np.float32)
    disparity[~np.isfinite(disparity)] = np.nan
    return disparity


def _read_npy(path: Path) -> np.ndarray:
    try:
        values: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f'{path} is not an array that NumPy can read: {error}') from error
    return values
