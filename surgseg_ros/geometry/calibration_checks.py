"""What can be seen to be wrong with a stereo calibration without looking at an image."""

import numpy as np

from surgseg_ros.geometry.calibration import CameraModel, StereoCalibration

_BASELINE_MM = (1.0, 20.0)
_LARGE_ROTATION_DEG = 5.0


def calibration_errors(calibration: StereoCalibration) -> list[str]:
    """One sentence for each thing that makes distances from this calibration meaningless.

    An uncalibrated camera (K all zero, sensor_msgs/CameraInfo) is said first and alone, since
    nothing else can be judged then.
    """
    uncalibrated = [
        f'the {side} camera is uncalibrated (K or P is all zero)'
        for side, camera in _sides(calibration).items()
        if camera.K[0, 0] == 0 or camera.P[0, 0] == 0
    ]
    return uncalibrated or _size_errors(calibration) + _baseline_errors(calibration)


def calibration_warnings(calibration: StereoCalibration) -> list[str]:
    """One sentence for each thing that makes the calibration unusable or implausible.

    The errors come first. An empty list is no proof: whether the rows of the rectified images
    correspond shows only in images (rectification.vertical_residual).
    """
    errors = calibration_errors(calibration)
    if errors and 'uncalibrated' in errors[0]:
        return errors
    warnings = errors + _projection_warnings(calibration)
    for side, camera in _sides(calibration).items():
        warnings += _rotation_warnings(side, camera)
    return warnings


def _sides(calibration: StereoCalibration) -> dict[str, CameraModel]:
    return {'left': calibration.left, 'right': calibration.right}


def _size_errors(calibration: StereoCalibration) -> list[str]:
    left, right = calibration.left, calibration.right
    if (left.width, left.height) == (right.width, right.height):
        return []
    return [f'the sizes disagree: left {left.width}x{left.height}, '
            f'right {right.width}x{right.height}']


def _baseline_errors(calibration: StereoCalibration) -> list[str]:
    offset = calibration.right.P[0, 3]
    if offset > 0:
        return [f'P[3] of the right camera is {offset:g} and should be negative '
                '(-f * baseline): the eyes are swapped or the sign is wrong']
    return ['P[3] of the right camera is 0, so there is no baseline'] if offset == 0 else []


def _projection_warnings(calibration: StereoCalibration) -> list[str]:
    left, right = calibration.left.P, calibration.right.P
    warnings = []
    if left[0, 3] != 0:
        warnings.append(f'P[3] of the left camera is {left[0, 3]:g} and should be 0: '
                        'the eyes may be swapped')
    millimetres = 1000 * abs(calibration.baseline)
    if right[0, 3] and not _BASELINE_MM[0] <= millimetres <= _BASELINE_MM[1]:
        warnings.append(f'the baseline is {millimetres:.3g} mm, that of a stereo endoscope is '
                        f'{_BASELINE_MM[0]:g} to {_BASELINE_MM[1]:g} mm (P[3] is in px * m)')
    if not np.allclose(left[1:, :3], right[1:, :3]) or not np.isclose(left[0, 0], right[0, 0]):
        warnings.append('the P of left and right differ in focal length or cy, so their rows '
                        'do not correspond')
    return warnings


def _rotation_warnings(side: str, camera: CameraModel) -> list[str]:
    if not np.allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-3) or np.linalg.det(camera.R) < 0:
        return [f'R of the {side} camera is not a rotation']
    degrees = np.degrees(np.arccos(np.clip((np.trace(camera.R) - 1) / 2, -1, 1)))
    if degrees < _LARGE_ROTATION_DEG:
        return []
    return [f'rectification turns the {side} camera by {degrees:.1f} degrees: the extrinsics '
            'are doubtful, so check the vertical residual on images']
