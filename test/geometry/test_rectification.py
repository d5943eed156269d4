from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_stereo import (
    noise_texture,
    raw_calibration,
    raw_views_of_plane,
    rectified_calibration,
    sloped_disparity,
    stereo_pair,
)

from surgseg_ros import predictors
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.geometry.calibration_files import read_calibration
from surgseg_ros.geometry.points import rectify_points
from surgseg_ros.geometry.rectification import (
    Rectifier,
    align_principal_points,
    true_disparity,
    vertical_residual,
)


def test_rows_of_distorted_turned_cameras_meet():
    calibration = raw_calibration()
    raw = raw_views_of_plane(calibration)
    before, _ = vertical_residual(*raw)
    after, matches = vertical_residual(*Rectifier(calibration).rectify(*raw))
    assert before is not None and before > 3
    assert after is not None and after < 0.2
    assert matches > 200


def test_pixels_move_to_where_the_points_do():
    calibration = raw_calibration()
    spot = np.array([[420.0, 180.0]])
    image = np.zeros((512, 640), np.uint8)
    cv2.circle(image, (420, 180), 4, 255, -1)
    warped = Rectifier(calibration).rectify(image, image)
    for camera, picture in zip((calibration.left, calibration.right), warped, strict=True):
        moments = cv2.moments(picture)
        centre = np.array([moments['m10'], moments['m01']]) / moments['m00']
        np.testing.assert_allclose(centre, rectify_points(spot, camera)[0], atol=0.1)


def test_rectified_calibration_is_what_a_camera_info_says():
    calibration = raw_calibration()
    rectified = Rectifier(calibration).calibration
    assert rectified.baseline == calibration.baseline
    for camera, raw in ((rectified.left, calibration.left), (rectified.right, calibration.right)):
        np.testing.assert_array_equal(camera.P, raw.P)
        np.testing.assert_array_equal(camera.K, raw.P[:, :3])
        np.testing.assert_array_equal(camera.R, np.eye(3))
        assert not camera.D.any()


def test_what_cannot_be_rectified_is_said():
    calibration = raw_calibration()
    image = np.zeros((512, 640, 3), np.uint8)
    with pytest.raises(ValueError, match='320x256, its calibration is for 640x512'):
        Rectifier(calibration).rectify(image, image[::2, ::2])
    for changes, said in (
        ({'K': np.zeros((3, 3))}, 'left camera is uncalibrated'),
        ({'distortion_model': 'fov'}, "'fov', expected plumb_bob"),
    ):
        bad = StereoCalibration(replace(calibration.left, **changes), calibration.right)
        with pytest.raises(ValueError, match=said):
            Rectifier(bad)


def test_residual_measures_a_shift_and_says_when_it_cannot():
    texture = noise_texture(300, 400)
    shifted = cv2.warpAffine(texture, np.float32([[1, 0, -12], [0, 1, 2.5]]), (400, 300))
    residual, matches = vertical_residual(texture, shifted)
    assert residual == pytest.approx(2.5, abs=0.1)
    assert matches > 100
    assert vertical_residual(texture, np.zeros_like(texture)) == (None, 0)
    residual, matches = vertical_residual(texture, noise_texture(300, 400, seed=1))
    assert residual is None and matches < 30


@pytest.mark.parametrize('offset', [40.0, -40.0, 40.4])
def test_what_the_right_camera_did_not_see_is_no_measurement(offset):
    """Where cx differs by tens of px, matches can lie in the edge that alignment repeats."""
    truth = sloped_disparity(512, 640)
    left, right = stereo_pair(truth + np.float32(offset))
    calibration = with_offset(rectified_calibration(640, 512), offset)
    aligned = (
        predictors.create('sgbm')
        .predict(left, align_principal_points(right, calibration))
        .disparity
    )
    found = true_disparity(aligned, calibration)
    matched = np.arange(640) - truth - offset
    seen = (matched >= 0) & (matched <= 639)
    assert np.isfinite(found[seen]).mean() > 0.9
    assert np.nanmean(np.abs(found[seen] - truth[seen])) < 0.3
    unseen = np.isfinite(found) & ~seen
    assert unseen.mean() < 5e-4  # wrong by a pixel, at the very edge
    matched = np.arange(640) - found - offset
    assert np.nanmin(matched) >= -0.01 and np.nanmax(matched) <= 639.01


def with_offset(calibration, offset):
    """The same pair with cx_left - cx_right = offset px."""
    P = calibration.left.P.copy()
    P[0, 2] += offset
    return replace(calibration, left=replace(calibration.left, P=P, K=P[:, :3]))


def test_real_surgical_video(shared_data):
    calibration = read_calibration(
        shared_data / 'stereo_surgt/calibration.yaml', size=(1280, 1024)
    )
    rectifier = Rectifier(calibration)
    video = cv2.VideoCapture(str(shared_data / 'stereo_surgt/video.mp4'))
    for _ in range(3):
        read, frame = video.read()
        assert read
        pair = rectifier.rectify(frame[:, :1280], frame[:, 1280:])
        residual, matches = vertical_residual(*pair)
        assert residual is not None and residual <= 0.5
        assert matches > 300
