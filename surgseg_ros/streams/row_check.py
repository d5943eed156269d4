"""Whether the rows of a rectified pair correspond, measured beside the work."""

import threading
from collections.abc import Callable

import cv2
import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.geometry.rectification import vertical_residual

ROWS_APART = 1.0  # px between corresponding rows from which a matcher suffers
WIDTH = 640  # px to which images are shrunk


class RowCheck:
    """Measures once per calibration how far corresponding rows are apart.

    warn: told in one sentence if they are too far. residual: px as text, '' not measured yet.
    """

    def __init__(self, warn: Callable[[str], object]) -> None:
        self.residual = ''
        self._warn = warn
        self._checked: StereoCalibration | None = None
        self._thread = threading.Thread()

    def see(self, left: np.ndarray, right: np.ndarray, calibration: StereoCalibration) -> None:
        """Take a rectified pair, HxWx3 uint8, if one of this calibration is needed."""
        if self._checked is calibration or self._thread.is_alive():
            return
        scale = min(WIDTH / left.shape[1], 1.0)
        small = (
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            for image in (left, right)
        )
        # In a thread of its own: it takes as long as several frames may take.
        self._thread = threading.Thread(
            target=self._measure, args=(*small, scale, calibration), daemon=True
        )
        self._thread.start()

    def _measure(
        self, left: np.ndarray, right: np.ndarray, scale: float, calibration: StereoCalibration
    ) -> None:
        residual, matches = vertical_residual(left, right)
        if residual is None:
            return  # too little to see: the next frame is tried
        residual /= scale
        self._checked, self.residual = calibration, f'{residual:.2f}'
        if residual > ROWS_APART:
            self._warn(
                f'the rows of left and right are {residual:.1f} px apart ({matches} matches): the '
                'images are not rectified, or camera_info does not belong to them'
            )
