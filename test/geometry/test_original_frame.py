"""Disparity of a rectified pair becomes depth in the image that the camera took."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_stereo import raw_calibration

from surgseg_ros.geometry.original_frame import depth_in_original_frame

HEIGHT, WIDTH = 128, 160


def plane_in_rectified_frame(calibration, normal, distance):
    """Disparity of the plane normal . X = distance, X in the unrectified left frame."""
    P, R = calibration.left.P, calibration.left.R
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack(
        [(columns - P[0, 2]) / P[0, 0], (rows - P[1, 2]) / P[1, 1], np.ones((HEIGHT, WIDTH))], -1
    )
    z = distance / (rays @ (R @ normal))  # along the rectified axis
    return (calibration.focal_length * calibration.baseline / z).astype(np.float32)


def test_a_slanted_plane_through_rotation_and_distortion() -> None:
    calibration = raw_calibration(WIDTH, HEIGHT)
    normal, distance = np.array([0.2, -0.1, 1.0]), 0.1
    disparity = plane_in_rectified_frame(calibration, normal, distance)
    depth = depth_in_original_frame(disparity, calibration)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    pixels = np.stack([columns, rows], -1).reshape(-1, 1, 2)
    left = calibration.left
    x, y = cv2.undistortPoints(pixels, left.K, left.D).reshape(HEIGHT, WIDTH, 2).transpose(2, 0, 1)
    expected = distance / (normal[0] * x + normal[1] * y + normal[2])
    inside = np.s_[16:-16, 16:-16]
    assert np.median(np.abs(depth - expected)[inside]) < 2e-4
    assert not np.isnan(depth).any()


def test_nothing_known_and_other_sizes() -> None:
    calibration = raw_calibration(WIDTH, HEIGHT)
    unknown = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    assert np.isnan(depth_in_original_frame(unknown, calibration)).all()
    left = replace(calibration.left, width=WIDTH + 2)
    with pytest.raises(ValueError, match='the disparity is 160x128, its calibration is for 162x1'):
        depth_in_original_frame(unknown, replace(calibration, left=left))
