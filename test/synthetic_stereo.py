"""Stereo pairs made of noise, whose geometry is known exactly."""

import cv2
import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.geometry.extrinsics import calibration_from_extrinsics


def noise_texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """HxWx3 uint8 band-limited noise, as sharp as an endoscope sees tissue."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.clip(128 + 50 * blurred / blurred.std(), 0, 255).astype(np.uint8)


def sloped_disparity(height: int, width: int) -> np.ndarray:
    """Tissue sloping from 20 to 45 px with a box 15 px nearer: HxW float32."""
    disparity = np.linspace(20, 45, height, dtype=np.float32)[:, None].repeat(width, axis=1)
    disparity[height // 4 : height // 2, width // 2 : width * 3 // 4] += 15
    return disparity


def stereo_pair(disparity: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Left and right HxWx3 uint8 with left(x, y) = right(x - disparity(x, y), y)."""
    height, width = disparity.shape
    right = noise_texture(height, width, seed)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    left = cv2.remap(right, x - disparity, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return left, right


def rectified_calibration(
    width: int = 320, height: int = 256, focal: float = 300.0, baseline: float = 0.0043
) -> StereoCalibration:
    """Calibration of a pair that is rectified already."""
    K = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1.0]])
    P = np.hstack([K, np.zeros((3, 1))])
    P_right = P.copy()
    P_right[0, 3] = -focal * baseline
    left, right = (CameraModel(width, height, K, np.zeros(5), np.eye(3), p) for p in (P, P_right))
    return StereoCalibration(left, right)


def raw_calibration(width: int = 640, height: int = 512) -> StereoCalibration:
    """Calibration of a distorted pair turned against each other by about 1.5 degrees."""
    size = np.array([[width / 640], [height / 512], [1]])
    K = size * np.array([[520.0, 0, 310], [0, 522, 250], [0, 0, 1]])
    K_right = size * np.array([[515.0, 0, 340], [0, 517, 251], [0, 0, 1]])
    D, D_right = np.array([-0.2, 0.1, 1e-3, -5e-4, 0]), np.array([-0.18, 0.08, -1e-3, 1e-3, 0])
    R, _ = cv2.Rodrigues(np.array([0.015, -0.02, 0.01]))
    T = np.array([-0.0043, 0.0001, -0.00015])
    return calibration_from_extrinsics((K, K_right), (D, D_right), R, T, (width, height))


def extrinsics(calibration: StereoCalibration) -> tuple[np.ndarray, np.ndarray]:
    """R 3x3 and T (3,) m of x_right = R x_left + T, from the rectifying rotations."""
    R = calibration.right.R.T @ calibration.left.R
    return R, calibration.right.R.T @ np.array([-calibration.baseline, 0, 0])


def raw_views_of_plane(calibration: StereoCalibration) -> tuple[np.ndarray, np.ndarray]:
    """Both raw cameras' HxWx3 uint8 views of a textured plane, 80 mm before the left one."""
    R, T = extrinsics(calibration)
    poses = (np.eye(3), np.zeros(3)), (R.T, -R.T @ T)
    texture = noise_texture(1200, 1400, seed=3)
    views = []
    for camera, (rotation, centre) in zip(
        (calibration.left, calibration.right), poses, strict=True
    ):
        pixels = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)
        rays = cv2.undistortPoints(pixels.reshape(-1, 1, 2).astype(float), camera.K, camera.D)
        rays = cv2.convertPointsToHomogeneous(rays).reshape(-1, 3) @ rotation.T
        points = centre + rays * ((0.08 - centre[2]) / rays[:, 2])[:, None]
        texels = (points[:, :2] / 1e-4 + (700, 600)).astype(np.float32)
        x, y = texels.reshape(camera.height, camera.width, 2).transpose(2, 0, 1)
        views.append(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return views[0], views[1]
