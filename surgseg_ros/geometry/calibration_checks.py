"""What can be seen to be wrong with a stereo calibration without looking at an image."""

import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration

_BASELINE_MM = (1.0, 20.0)
_LARGE_ROTATION_DEG = 5.0
_DISTORTIONS = (0, 4, 5, 8, 12, 14)  # numbers in OpenCV's D


def calibration_errors(calibration: StereoCalibration) -> list[str]:
    """One sentence for each thing that makes distances from this calibration meaningless.

    An uncalibrated camera (K all zero, sensor_msgs/CameraInfo) and what is no number are said
    first and alone, since nothing else can be judged then.
    """
    return _unusable(calibration) or _size_errors(calibration) + _baseline_errors(calibration)


def camera_errors(side: str, camera: CameraModel) -> list[str]:
    """One sentence for each thing that makes one camera of a pair unusable."""
    errors = []
    if camera.K[0, 0] == 0 or camera.P[0, 0] == 0:
        errors.append(f'the {side} camera is uncalibrated (K or P is all zero)')
    return errors + _number_errors(side, {name: getattr(camera, name) for name in 'KDRP'})


def extrinsics_errors(
    K: tuple[np.ndarray, np.ndarray],
    D: tuple[np.ndarray, np.ndarray],
    R: np.ndarray,
    T: np.ndarray,
) -> list[str]:
    """One sentence for each thing that keeps a pair, x_r = R x_l + T, from being rectified.

    K 3x3 and D (n,) of left and right, R 3x3, T (3,).
    """
    errors = []
    for side, k, d in zip(('left', 'right'), K, D, strict=True):
        errors += _number_errors(side, {'K': k, 'D': d})
        if k[0, 0] <= 0 or k[1, 1] <= 0:
            errors.append(f'K of the {side} camera has no positive focal length')
    if not is_rotation(R):
        errors.append('R between the cameras is not a rotation')
    if not 0 < np.linalg.norm(T) < np.inf:
        errors.append(f'T between the cameras is {T.ravel().tolist()}, so there is no baseline')
    return errors


def is_rotation(R: np.ndarray) -> bool:
    """Whether R 3x3 is a rotation, as far as printed digits go."""
    return bool(np.allclose(R @ R.T, np.eye(3), atol=1e-3) and np.linalg.det(R) > 0)


def calibration_warnings(calibration: StereoCalibration) -> list[str]:
    """One sentence for each thing that makes the calibration unusable or implausible.

    The errors come first. An empty list is no proof: whether the rows of the rectified images
    correspond shows only in images (rectification.vertical_residual).
    """
    if errors := _unusable(calibration):
        return errors
    warnings = calibration_errors(calibration) + _projection_warnings(calibration)
    for side, camera in _sides(calibration).items():
        warnings += _rotation_warnings(side, camera)
    return warnings


def _sides(calibration: StereoCalibration) -> dict[str, CameraModel]:
    return {'left': calibration.left, 'right': calibration.right}


def _unusable(calibration: StereoCalibration) -> list[str]:
    return [
        error
        for side, camera in _sides(calibration).items()
        for error in camera_errors(side, camera)
    ]


def _number_errors(side: str, matrices: dict[str, np.ndarray]) -> list[str]:
    errors = [
        f'{name} of the {side} camera has values that are not finite'
        for name, values in matrices.items()
        if not np.isfinite(values).all()
    ]
    count = matrices['D'].size
    if count not in _DISTORTIONS:
        errors.append(
            f'D of the {side} camera has {count} numbers, expected one of '
            + ', '.join(map(str, _DISTORTIONS))
        )
    return errors


def _size_errors(calibration: StereoCalibration) -> list[str]:
    left, right = calibration.left, calibration.right
    if (left.width, left.height) == (right.width, right.height):
        return []
    return [
        f'the sizes disagree: left {left.width}x{left.height}, right {right.width}x{right.height}'
    ]


def _baseline_errors(calibration: StereoCalibration) -> list[str]:
    offset = calibration.right.P[0, 3]
    if offset > 0:
        return [
            f'P[3] of the right camera is {offset:g} and should be negative '
            '(-f * baseline): the eyes are swapped or the sign is wrong'
        ]
    return ['P[3] of the right camera is 0, so there is no baseline'] if offset == 0 else []


def _projection_warnings(calibration: StereoCalibration) -> list[str]:
    left, right = calibration.left.P, calibration.right.P
    warnings = []
    if left[0, 3] != 0:
        warnings.append(
            f'P[3] of the left camera is {left[0, 3]:g} and should be 0: the eyes may be swapped'
        )
    millimetres = 1000 * abs(calibration.baseline)
    if right[0, 3] and not _BASELINE_MM[0] <= millimetres <= _BASELINE_MM[1]:
        warnings.append(
            f'the baseline is {millimetres:.3g} mm, that of a stereo endoscope is '
            f'{_BASELINE_MM[0]:g} to {_BASELINE_MM[1]:g} mm (P[3] is in px * m)'
        )
    if not np.allclose(left[1:, :3], right[1:, :3]) or not np.isclose(left[0, 0], right[0, 0]):
        warnings.append(
            'the P of left and right differ in focal length or cy, so their rows do not correspond'
        )
    return warnings


def _rotation_warnings(side: str, camera: CameraModel) -> list[str]:
    if not is_rotation(camera.R):
        return [f'R of the {side} camera is not a rotation']
    degrees = np.degrees(np.arccos(np.clip((np.trace(camera.R) - 1) / 2, -1, 1)))
    if degrees < _LARGE_ROTATION_DEG:
        return []
    return [
        f'rectification turns the {side} camera by {degrees:.1f} degrees: the extrinsics '
        'are doubtful, so check the vertical residual on images'
    ]
