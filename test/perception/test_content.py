"""Steps see the picture and answer nothing outside of it."""

import numpy as np
import pytest
from synthetic_stereo import sloped_disparity, stereo_pair

from surgseg_ros.frames.results import InstanceResult, SemanticResult, mask_boxes
from surgseg_ros.frames.stereo_frame import LeftFrame, StereoFrame
from surgseg_ros.perception.instances import InstanceSettings, InstanceStep
from surgseg_ros.perception.semantic import SemanticSettings, SemanticStep
from surgseg_ros.perception.stereo import StereoSettings, StereoStep


class Everything:
    """Calls all that it sees an instrument."""

    class_names = ('background', 'tool')
    score_threshold = 0.1

    def predict(self, image, probabilities=False):
        self.seen = image.shape[:2]
        ones = np.ones((2, *self.seen), np.float32) * [[[0]], [[1]]]
        return SemanticResult(np.ones(self.seen, np.uint8), ones.astype('f4'), self.class_names)


class OneInstance(Everything):
    def predict(self, image):
        self.seen = image.shape[:2]
        masks = np.ones((1, *self.seen), bool)
        return InstanceResult(
            np.array([1]), np.array([0.9], 'f4'), mask_boxes(masks), masks,
            class_names=self.class_names,
        )  # fmt: skip


def texture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(60, 250, (height, width, 3), dtype=np.uint8)


def bars(picture, x=60, y=20, height=360, width=640):
    frame = np.random.default_rng(1).integers(0, 5, (height, width, 3), dtype=np.uint8)
    frame[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return frame


FRAME = LeftFrame(0, bars(texture(320, 500)))
INSIDE = np.zeros((360, 640), bool)
INSIDE[20:340, 60:560] = True


@pytest.mark.parametrize('outside', [0, 255])
def test_labels(outside):
    network = Everything()
    step = SemanticStep(SemanticSettings(outside_label=outside), network)
    result = step(FRAME, probabilities=True)
    assert (result.labels[~INSIDE] == outside).all()
    assert (result.labels[INSIDE] == 1).mean() > 0.97
    assert result.probabilities.shape == (2, 360, 640)
    np.testing.assert_allclose(result.probabilities.sum(axis=0), 1)
    assert (result.probabilities[1][~INSIDE] == 0).all()
    assert 310 < network.seen[0] <= 320 and 490 < network.seen[1] <= 500


def test_all_of_the_frame_and_a_given_box():
    full = SemanticStep(SemanticSettings(content_area='full'), Everything())(FRAME)
    assert (full.labels == 1).all()
    box = SemanticStep(SemanticSettings(content_area='100,50,200,150'), Everything())(FRAME)
    assert box.labels.sum() == 200 * 150 and (box.labels[50:200, 100:300] == 1).all()


def test_settings_are_checked():
    for wrong in ({'content_area': 'half'}, {'content_area': '1,2,3'}, {'outside_label': 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SemanticSettings(**wrong)
    step = SemanticStep(SemanticSettings(content_area='0,0,700,10'), Everything())
    with pytest.raises(ValueError, match='not inside of the image of 640x360 px'):
        step(FRAME)


def test_masks():
    result = InstanceStep(InstanceSettings(), OneInstance())(FRAME)
    assert result.masks.shape == (1, 360, 640)
    assert not result.masks[0][~INSIDE].any() and result.masks[0][INSIDE].mean() > 0.97
    x0, y0, x1, y1 = result.boxes[0]
    assert 60 <= x0 < 66 and 20 <= y0 < 26 and 554 < x1 <= 560 and 334 < y1 <= 340


def test_disparity():
    truth = sloped_disparity(320, 500)
    left, right = (bars(np.asarray(image), height=360) for image in stereo_pair(truth))
    step = StereoStep(StereoSettings())
    result = step(StereoFrame(0, left, right))
    assert np.isnan(result.disparity[~INSIDE]).all() and np.isnan(result.stddev[~INSIDE]).all()
    inside = result.disparity[20:340, 60:560]
    assert np.isfinite(inside).mean() > 0.8
    assert np.nanmedian(np.abs(inside - truth)) < 0.3
    assert not step.content.area.full


def test_a_match_in_the_right_border_is_none():
    truth = np.full((320, 500), 20, np.float32)
    left, right = (np.ascontiguousarray(image) for image in stereo_pair(truth))
    disc = np.hypot(*np.mgrid[-160:160, -250:250]) < 150
    right[~disc] = 0
    disparity = StereoStep(StereoSettings())(StereoFrame(0, left, right)).disparity
    rows, columns = np.nonzero(np.isfinite(disparity))
    assert disc[rows, np.rint(columns - disparity[rows, columns]).astype(int)].all()
    assert np.isfinite(disparity).mean() > 0.35


def test_assumed_standard_deviation():
    pair = stereo_pair(sloped_disparity(128, 192))
    assert StereoSettings().tells_stddev and StereoSettings(assumed_stddev=0.5).tells_stddev
    assert not StereoSettings(model='msdesis_light').tells_stddev
    result = StereoStep(StereoSettings(assumed_stddev=0.5))(StereoFrame(0, *pair))
    assert np.nanmin(result.stddev) < 0.5  # sgbm tells it by itself


def test_scale_follows_the_width():
    settings = StereoSettings()
    assert [settings.scale_of(width) for width in (640, 1280, 1920)] == [1, 0.5, 0.25]
    assert StereoSettings(scale=1.0).scale_of(1280) == 1
    assert StereoSettings(model='msdesis_light').scale_of(1280) == 1
