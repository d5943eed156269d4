"""A rectified pair from the intrinsics of both cameras and the pose between them."""

import cv2
import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.geometry.calibration_checks import extrinsics_errors


def calibration_from_extrinsics(
    K: tuple[np.ndarray, np.ndarray],
    D: tuple[np.ndarray, np.ndarray],
    R: np.ndarray,
    T: np.ndarray,
    size: tuple[int, int],
    alpha: float = -1,
    distortion: str = 'plumb_bob',
) -> StereoCalibration:
    """Rectify a calibrated pair (Bouguet's algorithm, cv2.stereoRectify).

    R 3x3, T (3,) in metres take left camera coordinates to right ones, x_r = R x_l + T.
    size: (width, height). Zero disparity at infinity. alpha -1 keeps the focal length, so that a
    rectified pixel is worth what a raw pixel was; 0 shows no pixel that was not seen, 1 all that
    were, and between. distortion: one of frames.calibration.DISTORTIONS. Raises ValueError, in one
    sentence, where this is no pair of cameras.
    """
    if errors := extrinsics_errors(K, D, R, T, size, distortion):
        raise ValueError(errors[0])
    rectify = _rectify_fisheye if distortion == 'equidistant' else _rectify_pinhole
    R1, R2, P1, P2 = rectify(K, D, R, T.reshape(3, 1), size, alpha)
    return StereoCalibration(
        CameraModel(*size, K[0], D[0], R1, P1, _named(distortion, D[0])),
        CameraModel(*size, K[1], D[1], R2, P2, _named(distortion, D[1])),
    )


def with_alpha(calibration: StereoCalibration, alpha: float) -> StereoCalibration:
    """Rectify anew the raw images that a calibration is for; see calibration_from_extrinsics."""
    left, right = calibration.left, calibration.right
    # R_l x_l and R_r x_r differ by the baseline along x, so that x_r = R x_l + T with
    R = right.R.T @ left.R
    T = right.R.T @ np.array([-calibration.baseline, 0, 0])
    size = left.width, left.height
    K, D = (left.K, right.K), (left.D, right.D)
    return calibration_from_extrinsics(K, D, R, T, size, alpha, left.distortion)


def _rectify_pinhole(
    K: tuple[np.ndarray, np.ndarray],
    D: tuple[np.ndarray, np.ndarray],
    R: np.ndarray,
    T: np.ndarray,
    size: tuple[int, int],
    alpha: float,
) -> tuple[np.ndarray, ...]:
    zero = cv2.CALIB_ZERO_DISPARITY
    found = cv2.stereoRectify(K[0], D[0], K[1], D[1], size, R, T, flags=zero, alpha=alpha)
    return tuple(found[:4])


def _rectify_fisheye(
    K: tuple[np.ndarray, np.ndarray],
    D: tuple[np.ndarray, np.ndarray],
    R: np.ndarray,
    T: np.ndarray,
    size: tuple[int, int],
    alpha: float,
) -> tuple[np.ndarray, ...]:
    """The rotations depend on R and T alone; with the focal length kept, so does the rest."""
    if alpha < 0:
        return _rectify_pinhole(K, (np.zeros(4), np.zeros(4)), R, T, size, alpha)
    zero = cv2.CALIB_ZERO_DISPARITY
    found = cv2.fisheye.stereoRectify(
        K[0], D[0], K[1], D[1], size, R, T, flags=zero, newImageSize=size, balance=alpha
    )
    return tuple(found[:4])


def _named(distortion: str, D: np.ndarray) -> str:
    if distortion == 'equidistant':
        return distortion
    return 'plumb_bob' if D.size <= 5 else 'rational_polynomial'
