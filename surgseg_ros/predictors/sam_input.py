"""From frames to what SAM's image encoder takes."""

import numpy as np

from surgseg_ros.networks.sam_canvas import IMAGE_SIZE, frame_on_canvas
from surgseg_ros.predictors.antialiasing import resize
from surgseg_ros.predictors.preprocess import Normaliser


class SamInput:
    """Turns HxWx3 uint8 RGB of one size into 1x3xSxS float32 as published; S = 1024, or smaller.

    The longer side fills the canvas, normalised by the given statistics; the rest is 0. The array
    is reused: it is valid until the next call.
    """

    def __init__(
        self,
        height: int,
        width: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        canvas: int = IMAGE_SIZE,
    ) -> None:
        self._size = frame_on_canvas(height, width, canvas)
        self._normaliser = Normaliser(*self._size, mean, std, multiple=canvas)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Resize, normalise and pad one frame."""
        return self._normaliser(resize(image, *self._size))
