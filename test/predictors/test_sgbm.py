import cv2
import numpy as np
import pytest
from synthetic_stereo import noise_texture, sloped_disparity, stereo_pair

from surgseg_ros import predictors
from surgseg_ros.metrics.stereo import stereo_metrics


def seen_by_both(disparity):
    """HxW bool: pixels whose match lies inside the right image."""
    matched = np.arange(disparity.shape[1]) - disparity
    return (matched >= 0) & (matched <= disparity.shape[1] - 1)


def test_known_disparity_is_found_up_to_the_left_border():
    truth = sloped_disparity(256, 320)
    result = predictors.create('sgbm', max_disparity=96).predict(*stereo_pair(truth))
    assert result.disparity.dtype == np.float32 and result.tool_mask is None
    assert set(result.milliseconds) == {'preprocess', 'inference', 'postprocess'}
    metrics = stereo_metrics(result.disparity, truth, mask=seen_by_both(truth))
    assert metrics.epe < 0.3 and metrics.coverage > 93
    left_border = seen_by_both(truth) & (np.arange(320) < 96)
    assert stereo_metrics(result.disparity, truth, mask=left_border).coverage > 90


def test_what_the_right_camera_cannot_see_is_invalid():
    truth = sloped_disparity(256, 320)
    disparity = predictors.create('sgbm').predict(*stereo_pair(truth)).disparity
    assert np.isnan(disparity[:, :15]).all()
    assert not (disparity > np.arange(320)).any()


def test_negative_disparities():
    truth = np.full((200, 300), -7.5, np.float32)
    predictor = predictors.create('sgbm', min_disparity=-24, max_disparity=24)
    assert predictor.search_range(320) == (-24, 24)
    metrics = stereo_metrics(
        predictor.predict(*stereo_pair(truth)).disparity, truth, mask=seen_by_both(truth)
    )
    assert metrics.epe < 0.2 and metrics.coverage > 95


def test_unrelated_images_are_mostly_invalid():
    pair = noise_texture(256, 320, seed=1), noise_texture(256, 320, seed=2)
    assert np.isfinite(predictors.create('sgbm').predict(*pair).disparity).mean() < 0.1


def test_range_is_rounded_up_to_sixteen():
    predictor = predictors.create('sgbm', min_disparity=4, max_disparity=100)
    assert predictor.search_range(9) == (4, 100)
    assert predictors.create('sgbm', max_disparity=100).search_range(9) == (0, 112)


def test_range_follows_the_image_width_by_default():
    predictor = predictors.create('sgbm')
    assert predictor.search_range(1280) == (0, 192)
    assert predictor.search_range(640) == (0, 96)


@pytest.mark.parametrize(
    'option',
    [
        {'weights': 'a.safetensors'},
        {'backend': 'openvino'},
        {'device': 'cuda'},
        {'precision': 'bf16'},
        {'max_disparity': 0},
        {'block_size': 4},
    ],
)
def test_options_that_make_no_sense_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        predictors.create('sgbm', **option)


def test_network_options_that_ask_for_nothing_are_taken():
    predictors.create('sgbm', weights=None, backend='auto', device='auto', precision='auto')
    with pytest.raises(TypeError, match='disparities'):
        predictors.create('sgbm', disparities=3)


def test_images_that_are_no_pair_are_refused():
    predictor, image = predictors.create('sgbm'), np.zeros((64, 96, 3), np.uint8)
    with pytest.raises(ValueError, match='96x64 and right 96x32'):
        predictor.predict(image, image[:32])
    with pytest.raises(ValueError, match='expected uint8 HxWx3'):
        predictor.predict(image[..., 0], image)
    with pytest.raises(ValueError, match='right image is float32'):
        predictor.predict(image, image.astype(np.float32))


def test_real_surgical_pair(shared_data):
    """EPE and coverage that the issue asks for, over visible and over all ground truth."""
    frame = str(shared_data / 'stereo_scared_d1k2/d1k2_000000_')
    left, right = (cv2.imread(f'{frame}{side}.png')[..., ::-1] for side in ('left', 'right'))
    truth = cv2.imread(frame + 'disparity_left.tiff', cv2.IMREAD_UNCHANGED)
    truth = np.where(truth > 0, truth, np.nan)
    visible = cv2.imread(frame + 'occ_left.png', cv2.IMREAD_GRAYSCALE) == 255
    disparity = predictors.create('sgbm').predict(left, right).disparity
    for mask in (visible, None):
        metrics = stereo_metrics(disparity, truth, mask=mask)
        assert metrics.epe <= 0.40
        assert metrics.coverage >= 95
