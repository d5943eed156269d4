import math

import numpy as np
import pytest

from surgseg_ros.metrics.uncertainty import (
    FRACTIONS,
    mean_uncertainty,
    sparsification,
    uncertainty_metrics,
)

NAN = np.nan


def test_figures_counted_by_hand():
    truth = np.full((1, 6), 10, np.float32)
    disparity = np.array([[10.5, 11.5, 14, 10, NAN, 10]], np.float32)
    stddev = np.array([[1, 1, 1, 1, 1, NAN]], np.float32)
    metrics = uncertainty_metrics(disparity, stddev, truth)
    assert (metrics.pixels, metrics.within_1, metrics.within_2) == (4, 50, 75)
    assert metrics.bad3 == 25
    assert metrics.curve[0] == metrics.oracle[0] == pytest.approx((0.5 + 1.5 + 4) / 4)


def test_normal_errors_of_the_stated_size():
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.2, 3, (300, 400))
    metrics = uncertainty_metrics(rng.normal(0, sigma), sigma, np.zeros((300, 400)))
    assert metrics.within_1 == pytest.approx(68.3, abs=0.5)
    assert metrics.within_2 == pytest.approx(95.4, abs=0.5)
    assert 0 < metrics.ause < 0.7 * metrics.ause_constant


def test_sparsification_leaves_out_the_highest_ranks_first():
    error = np.arange(1.0, 101)
    curve = sparsification(error, error)
    assert curve[0] == 50.5 and curve[10] == pytest.approx(np.arange(1, 51).mean())
    assert FRACTIONS[10] == pytest.approx(0.5)
    assert sparsification(error, -error)[10] == pytest.approx(np.arange(51, 101).mean())


def test_an_oracle_has_no_area_and_one_number_the_constants():
    error = np.random.default_rng(1).exponential(1, (200, 200))
    zeros = np.zeros((200, 200))
    assert uncertainty_metrics(error, error, zeros).ause == pytest.approx(0, abs=1e-9)
    constant = uncertainty_metrics(error, np.ones((200, 200)), zeros)
    assert constant.ause == pytest.approx(constant.ause_constant, abs=0.03)


def test_mask_and_mean():
    rng = np.random.default_rng(2)
    error, sigma = np.abs(rng.normal(0, 1, (2, 20, 20))), np.ones((20, 20))
    left = np.arange(20) < np.full((20, 1), 10)
    frames = [
        uncertainty_metrics(one, sigma, np.zeros((20, 20)), mask)
        for one, mask in ((error[0], left), (error[1], None), (error[1], left & ~left))
    ]
    assert frames[0].pixels == 200 and math.isnan(frames[2].ause)
    mean = mean_uncertainty(frames)
    assert mean.pixels == 600
    assert mean.within_1 == pytest.approx((frames[0].within_1 + frames[1].within_1) / 2)
    assert len(mean.curve) == len(FRACTIONS)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match='the stddev is'):
        uncertainty_metrics(np.ones((2, 2)), np.ones((2, 3)), np.ones((2, 2)))
