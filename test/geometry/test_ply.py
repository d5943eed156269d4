import numpy as np
from synthetic_stereo import rectified_calibration

from surgseg_ros.geometry.ply import write_ply
from surgseg_ros.geometry.points import disparity_to_cloud


def test_ply_holds_the_finite_points_in_order(tmp_path):
    rng = np.random.default_rng(0)
    disparity = rng.uniform(-5, 60, (256, 320)).astype(np.float32)
    rgb = rng.integers(0, 256, (256, 320, 3), dtype=np.uint8)
    cloud = disparity_to_cloud(disparity, rectified_calibration(), rgb, rgb[..., 0].copy())
    count = write_ply(tmp_path / 'cloud.ply', cloud)
    header, _, body = (tmp_path / 'cloud.ply').read_bytes().partition(b'end_header\n')
    assert header.startswith(b'ply\nformat binary_little_endian 1.0\n')
    assert f'element vertex {count}\n'.encode() in header
    valid = disparity > 0
    assert count == valid.sum() and len(body) == 15 * count
    vertices = np.frombuffer(body, np.dtype([('xyz', '<f4', 3), ('rgb', 'u1', 3)]))
    np.testing.assert_array_equal(vertices['rgb'], rgb[valid])
    np.testing.assert_array_equal(vertices['xyz'][:, 2], cloud['z'][valid])
