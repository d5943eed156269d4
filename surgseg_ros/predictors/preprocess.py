"""From 8-bit images to what networks take."""

import cv2
import numpy as np


class Normaliser:
    """Turns HxWx3 uint8 RGB of one size into 1x3xH'xW' float32, (x / 255 - mean) / std.

    H' and W' are the next multiples of `multiple`; what is added right and below is 0, that is
    the mean colour. The array is reused: the result is valid until the next call.
    """

    def __init__(
        self,
        height: int,
        width: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        multiple: int = 1,
    ) -> None:
        self._size = height, width
        padded = (-(-n // multiple) * multiple for n in self._size)
        self._tensor = np.zeros((1, 3, *padded), np.float32)
        values = np.arange(256, dtype=np.float32) / np.float32(255)
        self._tables = [
            (values - np.float32(m)) / np.float32(s) for m, s in zip(mean, std, strict=True)
        ]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result: (1, 3, H', W')."""
        return self._tensor.shape

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise one image; a table per channel is exact and faster than arithmetic."""
        height, width = self._size
        for channel, table in enumerate(self._tables):
            plane = self._tensor[0, channel, :height, :width]
            cv2.LUT(cv2.extractChannel(image, channel), table, dst=plane)
        return self._tensor


def check_image(image: np.ndarray, what: str = 'image') -> None:
    """Raise ValueError unless it is HxWx3 uint8; `what` names it in the sentence."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'the {what} is {image.dtype} {image.shape}, expected uint8 HxWx3')


def check_pair(left: np.ndarray, right: np.ndarray) -> None:
    """Raise ValueError unless both are HxWx3 uint8 of one size."""
    check_image(left, 'left image')
    check_image(right, 'right image')
    if left.shape != right.shape:
        raise ValueError(
            f'left {left.shape[1]}x{left.shape[0]} and right '
            f'{right.shape[1]}x{right.shape[0]} differ in size'
        )
