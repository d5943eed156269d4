import numpy as np
import pytest
from plain_resizing import resized

from surgseg_ros.networks.solo_masks import enlarge

SHAPE = (16, 20)


def expected(mask, content, size):
    whole = resized(mask.astype(float), 4 * mask.shape[0], 4 * mask.shape[1])
    return resized(whole[: content[0], : content[1]], *size)


@pytest.mark.parametrize(
    'content, size',
    [
        ((64, 80), (128, 160)),
        ((64, 80), (96, 120)),
        ((64, 80), (24, 30)),
        ((64, 80), (131, 1)),
        ((50, 80), (100, 160)),
        ((59, 73), (177, 219)),
        ((59, 73), (60, 72)),
        ((1, 3), (7, 9)),
    ],
)
def test_a_part_is_enlarged_like_the_whole_wherever_it_is(content, size):
    rng = np.random.default_rng(0)
    for y0, x0, y1, x1 in (
        (0, 0, 1, 1),
        (15, 19, 16, 20),
        (3, 18, 9, 20),
        (7, 0, 8, 20),
        (0, 5, 16, 9),
        (4, 4, 12, 15),
        (0, 0, 16, 20),
    ):
        mask = rng.uniform(0, 0.45, SHAPE).astype(np.float32)
        mask[y0:y1, x0:x1] = rng.uniform(0.3, 1, (y1 - y0, x1 - x0))
        mask[y0, x0] = 0.9
        probability = expected(mask, content, size)
        frame = np.zeros(size, bool)
        seen = enlarge(mask, 0.5, content, frame)
        sure = np.abs(probability - 0.5) > 1e-5
        np.testing.assert_array_equal(frame[sure], (probability > 0.5)[sure])
        assert seen == frame.any()


def test_what_is_nowhere_higher_or_only_in_the_padding_leaves_the_frame_empty():
    mask, frame = np.full(SHAPE, 0.5, np.float32), np.zeros((128, 160), bool)
    assert not enlarge(mask, 0.5, (64, 80), frame)
    mask[13:] = 0.9
    assert not enlarge(mask, 0.5, (48, 80), frame) and not frame.any()
    assert enlarge(mask, 0.5, (64, 80), frame) and frame.any()
