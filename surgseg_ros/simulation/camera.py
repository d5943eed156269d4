"""The endoscope's two cameras: an ideal, rectified pinhole pair like a da Vinci endoscope's."""

import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration

FOCAL_LENGTH_PER_WIDTH = 1060.0 / 1280.0  # dVRK calibrations lie at 1035-1080 px for 1280 px
BASELINE = 0.0043


def pinhole_pair(
    width: int, height: int, focal_length: float | None = None, baseline: float = BASELINE
) -> StereoCalibration:
    """Return the calibration of a distortion-free pair with its principal point in the centre.

    focal_length in px (default: da Vinci's, scaled to the width), baseline in m. As in
    sensor_msgs/CameraInfo, the right camera's P[0, 3] is -focal_length * baseline.
    """
    f = focal_length or FOCAL_LENGTH_PER_WIDTH * width
    K = np.array([[f, 0.0, (width - 1) / 2], [0.0, f, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return StereoCalibration(
        left=_camera(width, height, K, 0.0), right=_camera(width, height, K, -f * baseline)
    )


def _camera(width: int, height: int, K: np.ndarray, tx: float) -> CameraModel:
    P = np.hstack([K, [[tx], [0.0], [0.0]]])
    return CameraModel(width, height, K.copy(), np.zeros(5), np.eye(3), P)
