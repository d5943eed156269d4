"""Rectify stereo pairs from their camera_info, and measure how well it worked."""

from dataclasses import replace

import cv2
import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.geometry.calibration_checks import rectification_errors


class EyeRectifier:
    """Warps the images of one camera to what its R and P describe.

    side: for sentences. Raises ValueError with the first of rectification_errors.
    """

    def __init__(self, side: str, camera: CameraModel) -> None:
        self._maps = _maps(side, camera)

    def rectify(self, image: np.ndarray) -> np.ndarray:
        """Rectify an image, HxW or HxWxC of the calibrated size; pixels unseen are 0.

        Raises ValueError if the image has another size than its camera.
        """
        if image.shape[:2] != self._maps[0].shape[:2]:
            raise ValueError(
                f'the image is {image.shape[1]}x{image.shape[0]}, '
                f'its calibration is for {self._maps[0].shape[1]}x{self._maps[0].shape[0]}'
            )
        return cv2.remap(image, *self._maps, interpolation=cv2.INTER_LINEAR)


class Rectifier:
    """Warps both images to the rectified pair that R and P of the calibration describe.

    calibration: that of the rectified images, see rectified_calibration.
    Raises ValueError where the calibration is no calibration or its distortion model is unknown.
    """

    def __init__(self, calibration: StereoCalibration) -> None:
        self.calibration = rectified_calibration(calibration)
        self._left = EyeRectifier('left', calibration.left)
        self._right = EyeRectifier('right', calibration.right)

    def rectify(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rectify one pair, see EyeRectifier.rectify."""
        return self._left.rectify(left), self._right.rectify(right)


def rectified_calibration(calibration: StereoCalibration) -> StereoCalibration:
    """Calibration of the images that rectification makes: D = 0, R = 1, K = P[:, :3], same P.

    A camera_info (REP-104) describes the raw camera also beside its rectified images.
    """
    return StereoCalibration(_rectified(calibration.left), _rectified(calibration.right))


def align_principal_points(right: np.ndarray, calibration: StereoCalibration) -> np.ndarray:
    """Shift the right image so that a point at infinity has (nearly) the same column as left.

    If cx differs between the cameras by tens of px, raw disparity x_left - x_right of near tissue
    can be negative, which no matcher's range covers. Returns the image moved by whole px, its
    edge repeated; true_disparity takes what is matched in it.
    """
    shift = round(calibration.principal_offset)
    if shift == 0:
        return right
    width = right.shape[1]
    columns = np.clip(np.arange(width) - shift, 0, width - 1)
    return np.ascontiguousarray(right[:, columns])


def true_disparity(aligned: np.ndarray, calibration: StereoCalibration) -> np.ndarray:
    """Disparity without cx_left - cx_right, of one matched in align_principal_points' image.

    aligned: HxW float32 px. Returns HxW float32 px; NaN where the match lies in the repeated edge
    or beyond it, which the right camera did not see.
    """
    shift = round(calibration.principal_offset)
    disparity = aligned - np.float32(calibration.principal_offset - shift)
    if shift:
        width = aligned.shape[1]
        matched = np.arange(width, dtype=np.float32) - aligned - shift  # column in the right image
        disparity[(matched < 0) | (matched > width - 1)] = np.nan
    return disparity


def vertical_residual(
    left: np.ndarray, right: np.ndarray, min_matches: int = 30
) -> tuple[float | None, int]:
    """Measure how far the rows of a rectified pair are apart.

    left, right: HxWx3 uint8 RGB or HxW uint8. SIFT keypoints matched both ways with Lowe's ratio
    test (0.8); of those within 5 % of the image height of their row, the ones further than three
    scaled median absolute deviations from the median dy are dropped as false matches.
    Returns the median |dy| in px (None with fewer than min_matches) and the number of matches.
    """
    (left_points, left_features), (right_points, right_features) = _sift(left), _sift(right)
    if left_features is None or right_features is None:
        return None, 0
    pairs = _mutual_matches(left_features, right_features)
    dy = (left_points[pairs[:, 0]] - right_points[pairs[:, 1]])[:, 1]
    dy = dy[np.abs(dy) <= 0.05 * left.shape[0]]
    if dy.size:
        spread = 1.4826 * np.median(np.abs(dy - np.median(dy)))
        dy = dy[np.abs(dy - np.median(dy)) <= 3 * spread + 1e-6]
    if dy.size < min_matches:
        return None, int(dy.size)
    return float(np.median(np.abs(dy))), int(dy.size)


def _rectified(camera: CameraModel) -> CameraModel:
    return replace(
        camera, K=camera.P[:, :3].copy(), D=np.zeros(5), R=np.eye(3), distortion_model='plumb_bob'
    )


def _maps(side: str, camera: CameraModel) -> tuple[np.ndarray, np.ndarray]:
    """Fixed-point maps: 4 times smaller than float ones, and remap is fastest on them."""
    if errors := rectification_errors(side, camera):
        raise ValueError(f'cannot rectify: {errors[0]}')
    size, K, P = (camera.width, camera.height), camera.K, camera.P[:, :3]
    if camera.distortion == 'equidistant':
        return cv2.fisheye.initUndistortRectifyMap(K, camera.D, camera.R, P, size, cv2.CV_16SC2)
    return cv2.initUndistortRectifyMap(K, camera.D, camera.R, P, size, cv2.CV_16SC2)


def _sift(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Keypoints Nx2 px and their descriptors of the 2000 strongest."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    keypoints, descriptors = cv2.SIFT.create(nfeatures=2000).detectAndCompute(grey, None)
    return np.array([keypoint.pt for keypoint in keypoints]).reshape(-1, 2), descriptors


def _mutual_matches(left: np.ndarray, right: np.ndarray, ratio: float = 0.8) -> np.ndarray:
    """Mx2 indices of descriptors that choose each other, clearly before their second choice."""

    def best(query: np.ndarray, train: np.ndarray) -> dict[int, int]:
        two = cv2.BFMatcher(cv2.NORM_L2).knnMatch(query, train, k=2)
        return {
            pair[0].queryIdx: pair[0].trainIdx
            for pair in two
            if len(pair) == 2 and pair[0].distance < ratio * pair[1].distance
        }

    forward, backward = best(left, right), best(right, left)
    mutual = [(i, j) for i, j in forward.items() if backward.get(j) == i]
    return np.array(mutual, dtype=int).reshape(-1, 2)
