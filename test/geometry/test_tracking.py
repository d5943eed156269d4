"""Track ids: over motion, gaps and crossings; what begins anew."""

import numpy as np
import pytest

from surgseg_ros.geometry.tracking import GRID, InstanceTracker, mask_iou

RATE = 15.0


def squares(*corners: tuple[int, int], size: int = 20) -> np.ndarray:
    """N x 128 x 160 bool: a square at each x, y; parts outside are cut off."""
    masks = np.zeros((len(corners), 128, 160), bool)
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[max(y, 0):max(y + size, 0), max(x, 0):max(x + size, 0)] = True
    return masks


def update(tracker: InstanceTracker, index: int, masks: np.ndarray, classes=None) -> list[int]:
    class_ids = np.ones(len(masks), int) if classes is None else np.array(classes)
    return tracker.update(index / RATE, class_ids, masks).tolist()


def test_ids_count_from_one_and_follow_motion_in_any_order() -> None:
    tracker = InstanceTracker()
    for index in range(20):
        masks = squares((5 * index, 10), (140 - 5 * index, 80))
        assert update(tracker, index, masks) == [1, 2]
        assert update(tracker, index + 0.5, masks[::-1]) == [2, 1]
    assert update(tracker, 20, squares((100, 10), (40, 80), (0, 50))) == [1, 2, 3]


def test_faster_than_its_own_size_once_the_velocity_is_known() -> None:
    tracker = InstanceTracker()
    positions = np.cumsum([0, 4, 8, 12, 16, 20, 24])   # accelerates; 20 px long
    assert [update(tracker, i, squares((x, 50))) for i, x in enumerate(positions)] == [[1]] * 7
    still = InstanceTracker()
    assert update(still, 0, squares((0, 50))) == [1]
    assert update(still, 1, squares((24, 50))) == [2], 'the gate of one that stood still'


@pytest.mark.parametrize('missing, same', [(10, True), (11, False)])
def test_ids_survive_ten_frames_without_the_instrument(missing: int, same: bool) -> None:
    tracker = InstanceTracker(max_gap=10)
    there = squares((2, 2), (30, 90))
    for index in range(5):
        assert update(tracker, index, there) == [1, 2]
    for index in range(5, 5 + missing):
        assert update(tracker, index, there[:1]) == [1]
    assert update(tracker, 5 + missing, there) == ([1, 2] if same else [1, 3])


def test_one_that_moves_on_behind_another_gets_its_id_back() -> None:
    tracker = InstanceTracker()
    for index in range(25):
        moving = squares((4 * index, 50))
        standing = squares((40, 45), size=30)
        if 8 <= index < 18:   # covered
            assert update(tracker, index, standing) == [2]
        else:
            assert update(tracker, index, np.concatenate([moving, standing])) == [1, 2]


def test_the_class_decides_between_equals_but_may_be_mistaken() -> None:
    tracker = InstanceTracker()
    start, same_place = squares((40, 40), (60, 40)), squares((50, 40), (50, 40))
    assert update(tracker, 0, start, [1, 2]) == [1, 2]
    assert update(tracker, 1, same_place, [2, 1]) == [2, 1]
    assert update(tracker, 2, same_place[:1], [3]) in ([1], [2])


def test_time_that_goes_back_and_reset_begin_anew() -> None:
    tracker, there = InstanceTracker(), squares((10, 10), (60, 60))
    for index in (0, 1, 2, 1.5):
        assert update(tracker, index, there[::-1]) == [1, 2]
        update(tracker, index + 0.1, squares((10, 100)))
    update(tracker, 9, there)
    tracker.reset()
    assert update(tracker, 10, there[1:]) == [1]


def test_nothing_tiny_things_and_large_images() -> None:
    tracker = InstanceTracker()
    assert update(tracker, 0, np.zeros((0, 128, 160), bool)) == []
    masks = np.zeros((3, 1024, 1280), bool)
    masks[0, 100:300, 100:900] = True
    masks[1, 601, 601] = True   # between the pixels that are looked at
    assert update(tracker, 1, masks) == [1, 0, 0]
    assert max(tracker._tracks[0].seen.mask.shape) == GRID
    masks[0] = np.roll(masks[0], 40, axis=0)
    assert update(tracker, 1e6, masks) == [1, 0, 0], 'long after, and nothing has moved'


def test_a_velocity_that_leaves_the_image_is_no_error() -> None:
    tracker = InstanceTracker()
    update(tracker, 0, squares((10, 50)))
    update(tracker, 1e-6, squares((20, 50)))   # 1e5 image widths per second
    assert update(tracker, 10, squares((20, 50))) == [2]


def test_iou_is_that_of_sets() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((4, 9, 11)) > 0.5, rng.random((3, 9, 11)) > 0.7
    expected = [[(a & b).sum() / (a | b).sum() for b in second] for a in first]
    np.testing.assert_allclose(mask_iou(first, second), expected, rtol=1e-6)
    assert mask_iou(first, second[:0]).shape == (4, 0)
    assert mask_iou(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool)) == 0
