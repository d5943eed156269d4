import math

import numpy as np
import pytest
from synthetic_stereo import rectified_calibration

from surgseg_ros.metrics.stereo import mean_metrics, stereo_metrics

NAN = np.nan


def test_figures_counted_by_hand():
    truth = np.array([[10, 10, 10, 10, 10, NAN]], np.float32)
    disparity = np.array([[10, 11.5, 7.5, 14, NAN, 10]], np.float32)
    metrics = stereo_metrics(disparity, truth)
    assert metrics.epe == pytest.approx((0 + 1.5 + 2.5 + 4) / 4)
    assert (metrics.bad1, metrics.bad2, metrics.bad3) == (75, 50, 25)
    assert metrics.coverage == 80 and metrics.pixels == 4
    assert math.isnan(metrics.depth_mae)


def test_depth_error_in_millimetres():
    calibration = rectified_calibration(focal=1000, baseline=0.004)
    truth = np.array([[40.0, 80, 80]])
    disparity = np.array([[50.0, 80, 0]])
    metrics = stereo_metrics(disparity, truth, calibration)
    assert metrics.depth_mae == pytest.approx((100 - 80 + 0) / 2, rel=1e-5)


def test_mask_chooses_pixels():
    truth, disparity = np.full((4, 4), 5.0), np.full((4, 4), 6.0)
    disparity[:2] = 5
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    assert stereo_metrics(disparity, truth, mask=mask).epe == 0
    assert stereo_metrics(disparity, truth, mask=~mask).epe == 1


def test_nothing_to_compare_is_nan():
    empty = stereo_metrics(np.full((2, 2), NAN), np.ones((2, 2)))
    assert math.isnan(empty.epe) and empty.coverage == 0
    assert math.isnan(stereo_metrics(np.ones((2, 2)), np.full((2, 2), NAN)).coverage)


def test_frames_are_averaged_plainly():
    truth = np.full((2, 2), 5.0)
    one = stereo_metrics(truth + 1, truth)
    part = np.where([[True, False], [False, False]], truth + 3, NAN)
    mean = mean_metrics([one, stereo_metrics(part, truth)])
    assert mean.epe == 2 and mean.coverage == 62.5
    blank = stereo_metrics(np.full((2, 2), NAN), truth)
    assert mean_metrics([one, blank]).epe == 1


def test_sizes_must_agree():
    with pytest.raises(ValueError, match='truth is'):
        stereo_metrics(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match='mask is'):
        stereo_metrics(np.ones((2, 2)), np.ones((2, 2)), mask=np.ones((1, 2)))
