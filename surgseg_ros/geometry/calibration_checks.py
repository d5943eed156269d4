"""What can be seen to be wrong with a stereo calibration without looking at an image."""

import numpy as np

from surgseg_ros.frames.calibration import DISTORTIONS, CameraModel, StereoCalibration
from surgseg_ros.frames.foreign import MAX_PIXELS, printable

_BASELINE_MM = (1.0, 20.0)
_LARGE_ROTATION_DEG = 5.0
_DISTORTIONS = (0, 4, 5, 8, 12, 14)  # numbers in OpenCV's D
_FISHEYE_DISTORTIONS = (4,)
# Principal points / middle of the image, in both directions, that only another size explains:
# real endoscopes stay within 0.66 .. 1.2 (EndoVis, SCARED, dVRK, UCL).
_OFF_CENTRE = (0.6, 1.5)


def calibration_errors(calibration: StereoCalibration) -> list[str]:
    """One sentence for each thing that makes distances from this calibration meaningless.

    An uncalibrated camera (K all zero, sensor_msgs/CameraInfo) and what is no number are said
    first and alone, since nothing else can be judged then.
    """
    return _unusable(calibration) or _size_errors(calibration) + _baseline_errors(calibration)


def camera_errors(side: str, camera: CameraModel) -> list[str]:
    """One sentence for each thing that makes one camera of a pair unusable."""
    size = camera.width, camera.height
    if camera.width * camera.height > MAX_PIXELS:
        return [f'the {side} camera claims {size[0]}x{size[1]} px, more than {MAX_PIXELS} in all']
    errors = []
    if camera.K[0, 0] == 0 or camera.P[0, 0] == 0:
        errors.append(f'the {side} camera is uncalibrated (K or P is all zero)')
    errors += _number_errors(side, {name: getattr(camera, name) for name in 'KDRP'})
    errors += _distortion_errors(side, camera.D, camera.distortion)
    return errors or _intrinsic_errors(side, camera.K, size) + _projection_errors(side, camera.P)


def rectification_errors(side: str, camera: CameraModel) -> list[str]:
    """One sentence for each thing that keeps the images of one camera from being rectified."""
    errors = camera_errors(side, camera)
    if camera.distortion not in DISTORTIONS:
        errors.append(
            f'the {side} camera has distortion model {printable(camera.distortion_model)!r}, '
            f'expected {", ".join(DISTORTIONS)} or fisheye'
        )
    if not is_rotation(camera.R):
        errors.append(f'R of the {side} camera is not a rotation')
    return errors


def extrinsics_errors(
    K: tuple[np.ndarray, np.ndarray],
    D: tuple[np.ndarray, np.ndarray],
    R: np.ndarray,
    T: np.ndarray,
    size: tuple[int, int],
    distortion: str = 'plumb_bob',
) -> list[str]:
    """One sentence for each thing that keeps a pair, x_r = R x_l + T, from being rectified.

    K 3x3 and D (n,) of left and right, R 3x3, T (3,); size: (width, height) of the images, px.
    """
    errors = []
    for side, k, d in zip(('left', 'right'), K, D, strict=True):
        unusable = _number_errors(side, {'K': k, 'D': d}) + _distortion_errors(side, d, distortion)
        errors += unusable or _intrinsic_errors(side, k, size)
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
    return [
        f'{name} of the {side} camera has values that are not finite'
        for name, values in matrices.items()
        if not np.isfinite(values).all()
    ]


def _distortion_errors(side: str, D: np.ndarray, distortion: str) -> list[str]:
    fisheye = distortion == 'equidistant'
    expected = _FISHEYE_DISTORTIONS if fisheye else _DISTORTIONS
    if D.size in expected:
        return []
    return [
        f'D of the {side} {"fisheye " * fisheye}camera has {D.size} numbers, expected '
        f'{"one of " * (len(expected) > 1)}{", ".join(map(str, expected))}'
    ]


def _intrinsic_errors(side: str, K: np.ndarray, size: tuple[int, int]) -> list[str]:
    """What is wrong with a camera matrix of images of this size, [fx s cx; 0 fy cy; 0 0 1]."""
    if not np.allclose(K[2], (0, 0, 1), atol=1e-6):
        row = ' '.join(f'{value:g}' for value in K[2])
        return [
            f'the last row of K of the {side} camera is {row}, expected 0 0 1: is the matrix '
            'transposed, as MATLAB has it?'
        ]
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        return [f'K of the {side} camera has no positive focal length']
    if abs(K[1, 0]) > 1e-6 * K[0, 0]:
        return [f'K of the {side} camera has {K[1, 0]:g} below its diagonal, expected 0']
    return _principal_point_errors(side, K, size)


def _principal_point_errors(side: str, K: np.ndarray, size: tuple[int, int]) -> list[str]:
    centre, limits = K[:2, 2], np.array(size)
    shift = 2 * centre / limits
    inside = ((centre > 0) & (centre < limits)).all()
    if inside and not ((shift < _OFF_CENTRE[0]).all() or (shift > _OFF_CENTRE[1]).all()):
        return []
    return [
        f'the principal point of the {side} camera, {centre[0]:.0f} {centre[1]:.0f} px, is '
        f'{"far from the middle of" if inside else "outside"} images of size '
        f'{size[0]}x{size[1]}: K belongs to images of another size'
    ]


def _projection_errors(side: str, P: np.ndarray) -> list[str]:
    if not np.allclose(P[2], (0, 0, 1, 0), atol=1e-6):
        row = ' '.join(f'{value:g}' for value in P[2])
        return [f'the last row of P of the {side} camera is {row}, expected 0 0 1 0']
    if P[0, 0] < 0 or P[1, 1] <= 0:
        return [f'P of the {side} camera has no positive focal length']
    return []


def _size_errors(calibration: StereoCalibration) -> list[str]:
    left, right = calibration.left, calibration.right
    if (left.width, left.height) == (right.width, right.height):
        return []
    return [
        f'the sizes disagree: left {left.width}x{left.height}, right {right.width}x{right.height}'
    ]


def _baseline_errors(calibration: StereoCalibration) -> list[str]:
    own, offset = calibration.left.P[0, 3], calibration.right.P[0, 3]
    errors = []
    if offset > 0:
        errors.append(
            f'P[3] of the right camera is {offset:g} and should be negative '
            '(-f * baseline): the eyes are swapped or the sign is wrong'
        )
    elif offset == 0:
        errors.append('P[3] of the right camera is 0, so there is no baseline')
    if own != 0:
        errors.append(
            f'P[3] of the left camera is {own:g} and should be 0: the eyes may be swapped'
        )
    return errors


def _projection_warnings(calibration: StereoCalibration) -> list[str]:
    left, right = calibration.left.P, calibration.right.P
    warnings = []
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
