"""From rectified disparity back to depth in the image that the camera really took.

As scared_toolkit does for SCARED's depth maps (Allan et al., arXiv:2101.01133; D. Psychogyios),
with a z-buffer where several points fall on a pixel.
"""

import cv2
import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.geometry.points import disparity_to_depth


def depth_in_original_frame(disparity: np.ndarray, calibration: StereoCalibration) -> np.ndarray:
    """Depth along the left camera's own axis, HxW float32 m, holes filled along the rows.

    disparity: HxW float px of the rectified pair, without cx_left - cx_right, NaN unknown.
    calibration: of the raw cameras: K and D of the original image, R and P of the rectified one.
    NaN everywhere if nothing is known. Raises ValueError if the sizes differ.
    """
    left = calibration.left
    if disparity.shape != (left.height, left.width):
        raise ValueError(
            f'the disparity is {disparity.shape[1]}x{disparity.shape[0]}, '
            f'its calibration is for {left.width}x{left.height}'
        )
    undistorted = _projected(_points(disparity, calibration), left.P[:, :3], disparity.shape)
    rows, columns = np.mgrid[: left.height, : left.width].astype(np.float32)
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
    maps = cv2.undistortPoints(pixels, left.K, left.D, P=left.P[:, :3]).astype(np.float32)
    map_x, map_y = np.moveaxis(maps.reshape(*disparity.shape, 2), -1, 0)
    seen = cv2.remap(
        undistorted,
        map_x,
        map_y,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float('nan'),
    )
    return _filled(seen)


def _points(disparity: np.ndarray, calibration: StereoCalibration) -> np.ndarray:
    """N x 3 points in the unrectified left frame, m."""
    camera = calibration.left.P
    z = disparity_to_depth(disparity, calibration)
    known = np.isfinite(z)
    rows, columns = np.nonzero(known)
    x = (columns - camera[0, 2]) * z[known] / camera[0, 0]
    y = (rows - camera[1, 2]) * z[known] / camera[1, 1]
    points: np.ndarray = np.stack([x, y, z[known]], axis=-1) @ calibration.left.R  # R^-1 = R^T
    return points


def _projected(points: np.ndarray, K: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """HxW float32 z of the points by nearest pixel, the nearest point of several; NaN of none."""
    depth = np.full(shape, np.inf, np.float32)
    x, y, z = points[points[:, 2] > 0].T
    column = np.rint(K[0, 0] * x / z + K[0, 2]).astype(int)
    row = np.rint(K[1, 1] * y / z + K[1, 2]).astype(int)
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    np.minimum.at(depth, (row[inside], column[inside]), z[inside])
    depth[np.isinf(depth)] = np.nan
    return depth


def _filled(depth: np.ndarray) -> np.ndarray:
    """Unknown pixels by linear interpolation along the rows, one after the other."""
    flat = depth.ravel()
    known = np.flatnonzero(np.isfinite(flat))
    if known.size:
        flat = np.interp(np.arange(flat.size), known, flat[known]).astype(np.float32)
    return flat.reshape(depth.shape)
