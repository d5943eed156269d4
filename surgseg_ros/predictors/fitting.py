"""An image as large as a box allows, with its aspect ratio, in the middle of what is padded."""

from collections.abc import Sequence

import cv2
import numpy as np


def fitting_size(size: Sequence[int], box: Sequence[int]) -> tuple[int, int]:
    """(height, width), px, of the largest image inside the box with the aspect ratio of size."""
    height, width = size
    scale = min(box[0] / height, box[1] / width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def padded_size(size: Sequence[int], multiple: int) -> tuple[int, int]:
    """(height, width), px, both raised to the next multiples."""
    return size[0] + -size[0] % multiple, size[1] + -size[1] % multiple


def origin(inner: Sequence[int], outer: Sequence[int]) -> tuple[int, int]:
    """(row, column) where an image of size inner begins in the middle of one of size outer."""
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2


def centred(image: np.ndarray, size: Sequence[int], fill: Sequence[int]) -> np.ndarray:
    """HxW or HxWx3 uint8 in the middle of an image of size (height, width), fill around it."""
    top, left = origin(image.shape, size)
    bottom, right = size[0] - image.shape[0] - top, size[1] - image.shape[1] - left
    return cv2.copyMakeBorder(
        image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=tuple(fill)
    )
