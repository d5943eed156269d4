import struct

import cv2
import numpy as np
import pytest
from synthetic_stereo import extrinsics, raw_calibration, rectified_calibration

from surgseg_ros.geometry.calibration_files import read_calibration
from surgseg_ros.geometry.points import (
    disparity_to_cloud,
    disparity_to_depth,
    rectify_points,
    triangulate,
)


def random_inputs(height=256, width=320):
    rng = np.random.default_rng(0)
    disparity = rng.uniform(-5, 60, (height, width)).astype(np.float32)
    disparity[rng.random((height, width)) < 0.1] = np.nan
    disparity[0, 0] = 0
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return disparity, rgb, rng.integers(0, 3, (height, width), dtype=np.uint8)


def reference_xyz(disparity, calibration):
    """The same in numpy: z = f b / d, x = (u - cx) / f z."""
    P = calibration.left.P
    v, u = np.indices(disparity.shape)
    d = np.where(disparity > 0, disparity, np.nan)
    z = np.float32(calibration.focal_length * calibration.baseline) / d
    rays_x = ((u - P[0, 2]) / P[0, 0]).astype(np.float32)
    rays_y = ((v - P[1, 2]) / P[1, 1]).astype(np.float32)
    return np.stack([rays_x * z, rays_y * z, z], axis=-1)


@pytest.mark.parametrize('labelled', [False, True])
def test_cloud_equals_numpy_exactly(labelled):
    calibration = rectified_calibration()
    disparity, rgb, labels = random_inputs()
    cloud = disparity_to_cloud(disparity, calibration, rgb, labels if labelled else None)
    expected = reference_xyz(disparity, calibration)
    for axis, name in enumerate('xyz'):
        np.testing.assert_array_equal(cloud[name], expected[..., axis])
    packed = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    np.testing.assert_array_equal(np.ascontiguousarray(cloud['rgb']).view(np.uint32), packed)
    if labelled:
        np.testing.assert_array_equal(cloud['label'], labels)
    np.testing.assert_array_equal(disparity_to_depth(disparity, calibration), expected[..., 2])


def test_bytes_are_those_of_a_point_cloud2():
    calibration = rectified_calibration()
    disparity, rgb, labels = random_inputs()
    plain = disparity_to_cloud(disparity, calibration, rgb)
    labelled = disparity_to_cloud(disparity, calibration, rgb, labels)
    assert len(plain.tobytes()) == 16 * disparity.size
    assert len(labelled.tobytes()) == 20 * disparity.size
    v, u = np.argwhere(disparity > 1)[7]
    x, y, z, blue, green, red, zero, label = struct.unpack_from(
        '<fff4BBxxx', labelled.tobytes(), 20 * (v * disparity.shape[1] + u)
    )
    assert (x, y, z) == tuple(plain[v, u].tolist()[:3])
    assert (red, green, blue, zero) == (*rgb[v, u], 0) and label == labels[v, u]


def test_cloud_without_colour_is_white_and_odd_inputs_are_taken():
    calibration = rectified_calibration()
    disparity, rgb, _ = random_inputs()
    cloud = disparity_to_cloud(disparity[:, ::-1].astype(np.float64), calibration)
    assert (np.ascontiguousarray(cloud['rgb']).view(np.uint32) == 0xFFFFFF).all()
    flipped = disparity_to_cloud(disparity, calibration, rgb[..., ::-1])
    straight = disparity_to_cloud(disparity, calibration, rgb[..., ::-1].copy())
    assert flipped.tobytes() == straight.tobytes()
    with pytest.raises(ValueError, match='rgb is'):
        disparity_to_cloud(disparity, calibration, rgb[1:])


def test_triangulation_of_distorted_turned_cameras():
    calibration = raw_calibration()
    R, T = extrinsics(calibration)
    points = np.random.default_rng(1).uniform((-0.02, -0.015, 0.05), (0.02, 0.015, 0.12), (200, 3))
    left, right = calibration.left, calibration.right
    left_px, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), left.K, left.D)
    right_px, _ = cv2.projectPoints(points, cv2.Rodrigues(R)[0], T, right.K, right.D)
    found = triangulate(left_px, right_px, calibration)
    np.testing.assert_allclose(found @ left.R, points, atol=1e-6)
    rows = [
        rectify_points(px, camera)[:, 1] for px, camera in ((left_px, left), (right_px, right))
    ]
    np.testing.assert_allclose(*rows, atol=1e-3)


def chessboard_views(folder):
    """Nine views of 14 x 10 corners, 3 mm apart, in both eyes: pairs of 140x2 px."""
    for path in sorted((folder / 'points').glob('left-*.txt')):
        twin = path.with_name(path.name.replace('left', 'right'))
        yield np.loadtxt(path), np.loadtxt(twin)


def test_published_stereo_extrinsics_follow_from_the_corners(shared_data):
    folder = shared_data / 'calib_points_ucl'
    calibration = read_calibration(folder, size=(1920, 1080))
    board = np.zeros((140, 3), np.float32)
    board[:, :2] = 3e-3 * np.mgrid[0:14, 0:10].T.reshape(-1, 2)
    left, right = zip(*chessboard_views(folder), strict=True)
    *_, R, T, _, _ = cv2.stereoCalibrate(
        [board] * 9,
        [px.astype(np.float32) for px in left],
        [px.astype(np.float32) for px in right],
        calibration.left.K,
        calibration.left.D,
        calibration.right.K,
        calibration.right.D,
        (1920, 1080),
        flags=cv2.CALIB_FIX_INTRINSIC,
    )
    published_R, published_T = extrinsics(calibration)
    np.testing.assert_allclose(published_R, R, atol=1e-5)
    np.testing.assert_allclose(published_T, T.ravel(), atol=2e-7)


def test_chessboard_has_its_size_through_our_triangulation(shared_data):
    """Within 150 mm; beyond, a corner error of 0.3 px is 2 mm of depth."""
    folder = shared_data / 'calib_points_ucl'
    calibration = read_calibration(folder, size=(1920, 1080))
    spacings, rows = [], []
    for left, right in chessboard_views(folder):
        rows.append(
            rectify_points(left, calibration.left)[:, 1]
            - rectify_points(right, calibration.right)[:, 1]
        )
        grid = 1000 * triangulate(left, right, calibration).reshape(10, 14, 3)
        assert grid[..., 2].min() > 80
        if grid[..., 2].mean() < 150:
            spacings += [
                np.linalg.norm(np.diff(grid, axis=axis), axis=-1).ravel() for axis in (0, 1)
            ]
    spacing = np.concatenate(spacings)
    assert spacing.size == 5 * (9 * 14 + 10 * 13)
    assert np.mean(spacing) == pytest.approx(3.0, abs=0.1)
    assert np.sqrt(np.mean((spacing - 3.0) ** 2)) < 0.25
    assert np.median(np.abs(rows)) < 0.5
