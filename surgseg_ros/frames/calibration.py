"""Camera models of a stereo endoscope, in the terms of sensor_msgs/CameraInfo (REP-104)."""

from dataclasses import dataclass

import numpy as np

DISTORTIONS = ('plumb_bob', 'rational_polynomial', 'equidistant')

# what drivers and calibration tools call them; Kalibr: radtan
_PINHOLE = ('plumb_bob', 'rational_polynomial', 'radtan', 'pinhole', 'none', 'brown_conrady')
_FISHEYE = ('equidistant', 'fisheye', 'kannala_brandt', 'kannala_brandt4')


@dataclass(frozen=True)
class CameraModel:
    """One camera: size in px, K 3x3, D (n,), R 3x3 rectifying rotation, P 3x4 (px, px*m).

    distortion_model: plumb_bob or rational_polynomial (D as OpenCV's), equidistant (four numbers,
    the fisheye lens of REP 104 and cv2.fisheye), or another name of these.
    """

    width: int
    height: int
    K: np.ndarray
    D: np.ndarray
    R: np.ndarray
    P: np.ndarray
    distortion_model: str = 'plumb_bob'

    @property
    def distortion(self) -> str:
        """DISTORTIONS' name of the distortion model; as it is given if that is none of them."""
        name = self.distortion_model.lower()
        if name in _FISHEYE:
            return 'equidistant'
        if name in _PINHOLE or not name and not self.D.any():
            return 'plumb_bob' if self.D.size <= 5 else 'rational_polynomial'
        return self.distortion_model


@dataclass(frozen=True)
class StereoCalibration:
    """Left and right camera of a pair; lengths in metres."""

    left: CameraModel
    right: CameraModel

    @property
    def focal_length(self) -> float:
        """Focal length of the rectified pair, px."""
        return float(self.left.P[0, 0])

    @property
    def baseline(self) -> float:
        """Distance of the right camera from the left, m; positive when it lies to the right."""
        return float(-self.right.P[0, 3] / self.right.P[0, 0])

    @property
    def principal_offset(self) -> float:
        """cx_left - cx_right of the rectified pair, px: disparity of a point at infinity."""
        return float(self.left.P[0, 2] - self.right.P[0, 2])
