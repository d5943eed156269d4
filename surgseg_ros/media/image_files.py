"""Read image files."""

from pathlib import Path

import cv2
import numpy as np


def read_rgb(path: Path) -> np.ndarray:
    """HxWx3 uint8 RGB; ValueError if OpenCV cannot read it."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path} is not an image that OpenCV can read')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_grey(path: Path) -> np.ndarray:
    """HxW uint8 exactly as stored, for masks; ValueError if that is not what the file has.

    Three channels that are equal are one. Colours, also those of a palette, and 16 bits are
    refused: OpenCV would make other numbers of them.
    """
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError(f'{path} is not an image that OpenCV can read')
    if values.dtype != np.uint8:
        raise ValueError(f'{path} has values of type {values.dtype}, expected 8 bits per pixel')
    if values.ndim == 2:
        return values
    grey = values[..., 0]
    if (values[..., 1:3] != grey[..., None]).any():
        raise ValueError(
            f'{path} is in colours or has a palette, expected one grey value per pixel'
        )
    return grey.copy()
