"""Rectifying anew from a calibration alone."""

import cv2
import numpy as np
import pytest
from synthetic_stereo import extrinsics, raw_calibration

from surgseg_ros.geometry.extrinsics import with_alpha
from surgseg_ros.geometry.rectification import Rectifier


def seen(alpha: float) -> float:
    """Share of the rectified pixels that show something, at worst of both eyes."""
    white = np.full((512, 640), 255, np.uint8)
    eyes = Rectifier(with_alpha(raw_calibration(), alpha)).rectify(white, white)
    return min(float((eye > 250).mean()) for eye in eyes)


def test_alpha_does_what_it_says() -> None:
    assert seen(0) > 0.999  # but for a pixel on the rim, where remap blends with the outside
    assert seen(0) > seen(0.5) > seen(1)
    assert seen(1) < 0.9


def test_alpha_1_shows_every_pixel() -> None:
    """The raw image's rim lies inside the rectified one."""
    camera = with_alpha(raw_calibration(), 1).left
    rim = np.array([[0, 0], [639, 0], [0, 511], [639, 511]], np.float64)
    there = cv2.undistortPoints(rim, camera.K, camera.D, R=camera.R, P=camera.P[:, :3])[:, 0]
    assert (there > -1).all() and (there < [641, 513]).all()


@pytest.mark.parametrize('alpha', [-1.0, 0.0, 1.0])
def test_it_is_opencv_with_width_before_height(alpha: float) -> None:
    given = raw_calibration()
    R, T = extrinsics(given)
    R1, R2, P1, P2, *_ = cv2.stereoRectify(
        given.left.K,
        given.left.D,
        given.right.K,
        given.right.D,
        (640, 512),
        R,
        T.reshape(3, 1),
        flags=cv2.CALIB_ZERO_DISPARITY,
        alpha=alpha,
    )
    found = with_alpha(given, alpha)
    for actual, expected in (
        (found.left.R, R1),
        (found.right.R, R2),
        (found.left.P, P1),
        (found.right.P, P2),
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-9)
    assert found.baseline == pytest.approx(given.baseline)
    if alpha == -1:
        np.testing.assert_allclose(found.left.P, given.left.P, atol=1e-6)
