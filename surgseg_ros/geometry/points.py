"""From disparities, or matched pixels, to points in the left optical frame (x right, z forward).

A disparity here is x_left - x_right - (cx_left - cx_right), so that z = f * b / d: whoever holds
a matcher's raw disparity subtracts `calibration.principal_offset` first.
"""

from typing import Any

import cv2
import numba
import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration

CLOUD = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<f4')])
LABELLED_CLOUD = np.dtype(
    {
        'names': ['x', 'y', 'z', 'rgb', 'label'],
        'formats': ['<f4', '<f4', '<f4', '<f4', 'u1'],
        'offsets': [0, 4, 8, 12, 16],
        'itemsize': 20,
    }
)


def with_stddev(kind: np.dtype[Any]) -> np.dtype[Any]:
    """CLOUD or LABELLED_CLOUD with one more field at its end, stddev: of z, m."""
    names, formats, offsets = zip(
        *((name, *field[:2]) for name, field in (kind.fields or {}).items()), strict=True
    )
    return np.dtype(
        {
            'names': [*names, 'stddev'],
            'formats': [*formats, '<f4'],
            'offsets': [*offsets, kind.itemsize],
            'itemsize': kind.itemsize + 4,
        }
    )


def depth_stddev(
    disparity: np.ndarray, stddev: np.ndarray, calibration: StereoCalibration
) -> np.ndarray:
    """Standard deviation of z = f b / d, HxW float32 m: z^2 / (f b) times that of d.

    disparity, stddev: HxW float32 px; NaN where either is, or the disparity is not positive.
    """
    depth = disparity_to_depth(disparity, calibration)
    scale = np.float32(calibration.focal_length * calibration.baseline)
    return np.asarray(depth**2 / scale * stddev, np.float32)


def disparity_to_depth(disparity: np.ndarray, calibration: StereoCalibration) -> np.ndarray:
    """Depth z = f * b / d: HxW float32 m, NaN where the disparity is not positive or NaN."""
    scale = np.float32(calibration.focal_length * calibration.baseline)
    positive = np.where(disparity > 0, disparity, np.float32(np.nan)).astype(np.float32)
    return scale / positive


def disparity_to_cloud(
    disparity: np.ndarray,
    calibration: StereoCalibration,
    rgb: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    stddev: np.ndarray | None = None,
) -> np.ndarray:
    """Organised cloud whose bytes are the data of a PointCloud2.

    disparity: HxW float32 px. rgb: HxWx3 uint8, white if None. labels: HxW uint8 or None.
    stddev: of the disparity, HxW float32 px: the cloud then has a field for that of z, in m.
    Returns HxW, contiguous, of dtype CLOUD (point_step 16) or, with labels, LABELLED_CLOUD
    (point_step 20): x y z in m, NaN where the disparity is not positive or NaN; rgb the colour
    0x00RRGGBB in the bits of a float32. Raises ValueError if the sizes differ.
    """
    for name, image in (('rgb', rgb), ('labels', labels), ('stddev', stddev)):
        if image is not None and image.shape[:2] != disparity.shape:
            raise ValueError(f'{name} is {image.shape[:2]}, the disparity {disparity.shape}')
    height, width = disparity.shape
    kind = CLOUD if labels is None else LABELLED_CLOUD
    cloud = np.zeros((height, width), kind if stddev is None else with_stddev(kind))
    if stddev is not None:
        cloud['stddev'] = depth_stddev(disparity, stddev, calibration)
    words = cloud.view(np.uint32).reshape(height, width, -1)
    fx, fy, cx, cy = calibration.left.P[[0, 1, 0, 1], [0, 1, 2, 2]]
    _fill(
        np.ascontiguousarray(disparity, dtype=np.float32),
        np.float32(calibration.focal_length * calibration.baseline),
        ((np.arange(width) - cx) / fx).astype(np.float32),
        ((np.arange(height) - cy) / fy).astype(np.float32),
        np.full((1, 1, 3), 255, np.uint8) if rgb is None else rgb,
        np.zeros((0, 0), np.uint8) if labels is None else labels,
        words.view(np.float32),
        words,
    )
    return cloud


@numba.njit(cache=True, nogil=True)
def _fill(
    disparity: np.ndarray,
    scale: np.float32,
    rays_x: np.ndarray,
    rays_y: np.ndarray,
    rgb: np.ndarray,
    labels: np.ndarray,
    points: np.ndarray,
    words: np.ndarray,
) -> None:
    """One pass over the image; points and words are the same memory as float32 and uint32."""
    height, width = disparity.shape
    coloured, labelled = rgb.shape[0] > 1, labels.size > 0
    for v in range(height):
        for u in range(width):
            d = disparity[v, u]
            z = scale / d if d > 0 else np.float32(np.nan)
            points[v, u, 0] = rays_x[u] * z
            points[v, u, 1] = rays_y[v] * z
            points[v, u, 2] = z
            if coloured:
                red, green, blue = rgb[v, u, 0], rgb[v, u, 1], rgb[v, u, 2]
                words[v, u, 3] = (red << 16) | (green << 8) | blue
            else:
                words[v, u, 3] = 0xFFFFFF
            if labelled:
                words[v, u, 4] = labels[v, u]


def rectify_points(pixels: np.ndarray, camera: CameraModel) -> np.ndarray:
    """Take Nx2 pixels of the raw image to Nx2 float64 pixels of the rectified one."""
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 1, 2)
    return cv2.undistortPoints(pixels, camera.K, camera.D, R=camera.R, P=camera.P[:, :3]).reshape(
        -1, 2
    )


def triangulate(
    left_px: np.ndarray, right_px: np.ndarray, calibration: StereoCalibration
) -> np.ndarray:
    """Triangulate matched pixels of the raw images (Nx2 each) by linear triangulation (DLT).

    Returns Nx3 float64 m in the rectified left frame, the one that clouds are in. Multiply by
    `calibration.left.R` from the right to have them in the unrotated left camera.
    """
    left = rectify_points(left_px, calibration.left)
    right = rectify_points(right_px, calibration.right)
    homogeneous = cv2.triangulatePoints(calibration.left.P, calibration.right.P, left.T, right.T)
    points: np.ndarray = (homogeneous[:3] / homogeneous[3]).T
    return points
