"""From 8-bit images to what networks take."""

import cv2
import numpy as np


class Normaliser:
    """Turns HxWx3 uint8 RGB of one size into 1x3xH'xW' float32, (x / 255 - mean) / std.

    H' and W' are the next multiples of `multiple`; what is added is 0, that is the mean colour:
    right and below, or evenly on all sides if `centred`. origin: (row, column) where the image
    begins. The array is reused: the result is valid until the next call.
    """

    def __init__(
        self,
        height: int,
        width: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        multiple: int = 1,
        centred: bool = False,
    ) -> None:
        empty = -height % multiple, -width % multiple
        self.origin = (empty[0] // 2, empty[1] // 2) if centred else (0, 0)
        self._tensor = np.zeros((1, 3, height + empty[0], width + empty[1]), np.float32)
        top, left = self.origin
        self._content = self._tensor[0, :, top : top + height, left : left + width]
        values = np.arange(256, dtype=np.float32) / np.float32(255)
        self._tables = [
            (values - np.float32(m)) / np.float32(s) for m, s in zip(mean, std, strict=True)
        ]

    @property
    def content_size(self) -> tuple[int, int]:
        """Height and width of the images that it takes, px."""
        return self._content.shape[1], self._content.shape[2]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result: (1, 3, H', W')."""
        return self._tensor.shape

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise one image; a table per channel is exact and faster than arithmetic."""
        for channel, (plane, table) in enumerate(zip(self._content, self._tables, strict=True)):
            cv2.LUT(cv2.extractChannel(image, channel), table, dst=plane)
        return self._tensor


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Image at another size, averaging where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


def fitted(height: int, width: int, short: int, long: int) -> tuple[int, int]:
    """Height and width of the largest image of this shape whose sides are short and long at most.

    short: of the shorter side, long: of the longer, px.
    """
    scale = min(short / min(height, width), long / max(height, width))
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def max_pool(image: np.ndarray, factor: int) -> np.ndarray:
    """HxWxC uint8 -> the maxima of whole blocks of factor x factor px, per channel."""
    if factor == 1:
        return image
    height, width = (n // factor * factor for n in image.shape[:2])
    maxima = cv2.dilate(image, np.ones((factor, factor), np.uint8), anchor=(0, 0))
    return maxima[:height:factor, :width:factor]


def check_image(image: np.ndarray, what: str = 'image') -> None:
    """Raise ValueError unless it is HxWx3 uint8, not empty; `what` names it in the sentence."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f'the {what} is a {type(image).__name__}, expected an array uint8 HxWx3')
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
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
