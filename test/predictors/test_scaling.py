import numpy as np
import pytest
from synthetic_stereo import sloped_disparity, stereo_pair

from surgseg_ros import predictors
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.metrics.stereo import stereo_metrics
from surgseg_ros.predictors.scaling import predict_scaled, scale_for, upsample_disparity


class MaskPredictor:
    """Says that everything in the left half is a tool."""

    def predict(self, left, right):
        mask = np.zeros(left.shape[:2], np.uint8)
        mask[:, : left.shape[1] // 2] = 1
        return StereoResult(
            np.full(left.shape[:2], 4, np.float32), mask, ('tissue', 'tool'), {'inference': 1.0}
        )


def test_disparity_comes_back_in_full_pixels():
    truth = sloped_disparity(512, 640)
    pair = stereo_pair(truth)
    pair = tuple(np.ascontiguousarray(image) for image in pair)
    predictor = predictors.create('sgbm', max_disparity=64)
    full, half = (
        stereo_metrics(predict_scaled(predictor, *pair, scale).disparity, truth)
        for scale in (1.0, 0.5)
    )
    assert full.epe < 0.3 and half.epe < 0.6
    assert half.coverage > 0.9 * full.coverage


def test_mask_and_timings_come_back_too():
    image = np.zeros((100, 150, 3), np.uint8)
    result = predict_scaled(MaskPredictor(), image, image, 0.4)
    assert result.tool_mask.shape == result.disparity.shape == (100, 150)
    assert result.tool_mask[:, :75].all() and not result.tool_mask[:, 75:].any()
    np.testing.assert_allclose(result.disparity, 10)
    assert result.class_names == ('tissue', 'tool')
    assert set(result.milliseconds) == {'inference', 'resize'}


def test_upsampling_keeps_steps_and_invalid_pixels():
    small = np.array([[10, 10.5, 30, np.nan]], np.float32).repeat(2, axis=0)
    large = upsample_disparity(small, (16, 8))
    assert np.isnan(large[:, 12:]).all() and np.isfinite(large[:, :12]).all()
    assert set(np.unique(large[:, 8:12])) == {120}
    ramp = large[0, :6]
    assert (np.diff(ramp) >= 0).all() and ramp[0] == 40 and 40 < ramp[3] < 42


@pytest.mark.parametrize('scale', [0, -0.5, 2])
def test_scale_out_of_range(scale):
    image = np.zeros((64, 96, 3), np.uint8)
    with pytest.raises(ValueError, match='scale is'):
        predict_scaled(MaskPredictor(), image, image, scale)


@pytest.mark.parametrize(
    ('width', 'scale'),
    [
        (320, 1),
        (640, 1),
        (800, 1),
        (801, 0.75),
        (1024, 0.5),
        (1280, 0.5),
        (1920, 0.25),
        (9999, 0.25),
    ],
)
def test_scale_that_suits_a_width(width, scale):
    assert scale_for(width) == scale


def test_standard_deviation_comes_back_in_full_pixels():
    pair = stereo_pair(sloped_disparity(256, 320))
    predictor = predictors.create('sgbm')
    result = predict_scaled(predictor, *pair, 0.5)
    assert result.stddev.shape == (256, 320)
    assert (np.isnan(result.stddev) == np.isnan(result.disparity)).all()
    full = np.nanmedian(predict_scaled(predictor, *pair, 1.0).stddev)
    assert 1.2 * full < np.nanmedian(result.stddev) < 4 * full
