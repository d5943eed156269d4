"""Whether the rows of a rectified pair correspond, measured in the background."""

import threading
import time
from collections.abc import Callable

import cv2
import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.geometry.rectification import vertical_residual

AGAIN = 30.0  # s; a camera may be knocked, or its cables exchanged
ROWS_APART = 1.0  # px between corresponding rows from which a matcher suffers
WIDTH = 640  # px to which images are shrunk


class RowCheck:
    """Measures periodically how far corresponding rows are apart.

    warn: called with one sentence when they are too far apart. residual: px as text, '' before the
    first. doubt: that sentence, while it applies. again: s between two measurements of a
    calibration.
    """

    def __init__(self, warn: Callable[[str], object], again: float = AGAIN) -> None:
        self.residual = ''
        self.doubt = ''
        self._warn, self._again = warn, again
        self._checked: StereoCalibration | None = None
        self._when = 0.0
        self._thread = threading.Thread()

    def see(self, left: np.ndarray, right: np.ndarray, calibration: StereoCalibration) -> None:
        """Take a rectified pair, HxWx3 uint8, if one of this calibration is needed."""
        fresh = self._checked is calibration and time.monotonic() < self._when + self._again
        if fresh or self._thread.is_alive():
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
        self._checked, self._when = calibration, time.monotonic()
        self.residual = f'{residual:.2f}'
        told, self.doubt = bool(self.doubt), ''
        if residual > ROWS_APART:
            self.doubt = (
                f'the rows of left and right are {residual:.1f} px apart ({matches} matches): the '
                'images are not rectified, or camera_info does not belong to them'
            )
            if not told:
                self._warn(self.doubt)
