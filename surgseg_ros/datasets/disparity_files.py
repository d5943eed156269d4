"""Disparity (or depth) in files: PNG of 16 bits, float TIFF, npy."""

from pathlib import Path

import numpy as np

from surgseg_ros.media.image_files import read_array, read_as_stored

SUFFIXES = ('.png', '.npy', '.tif', '.tiff')


def read_disparity(path: Path, scale: float) -> np.ndarray:
    """HxW float32 px, NaN unknown: 0 in a PNG (values / scale), NaN or infinity in TIFF and npy.

    0 in TIFF and npy is a value. Raises ValueError with one sentence for anything else.
    """
    values = read_array(path) if path.suffix.lower() == '.npy' else read_as_stored(path)
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
