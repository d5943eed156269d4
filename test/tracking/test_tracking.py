"""Track ids: over motion, gaps and crossings; what begins anew."""

import cv2
import numpy as np
import pytest

from surgseg_ros.tracking.instance_tracker import GRID, InstanceTracker, mask_iou, reduced

RATE = 15.0


def squares(*corners: tuple[int, int], size: int = 20) -> np.ndarray:
    """N x 128 x 160 bool: a square at each x, y; parts outside are cut off."""
    masks = np.zeros((len(corners), 128, 160), bool)
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[max(y, 0) : max(y + size, 0), max(x, 0) : max(x + size, 0)] = True
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
    positions = np.cumsum([0, 4, 8, 12, 16, 20, 24])  # accelerates; 20 px long
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
        if 8 <= index < 18:  # covered
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


@pytest.mark.parametrize('size', [(200, 300), (1024, 1280), (64, 48)])
def test_images_of_another_size_begin_anew(size: tuple[int, int]) -> None:
    tracker, other = InstanceTracker(), np.zeros((1, *size), bool)
    other[:, 10:40, 10:40] = True
    assert update(tracker, 0, squares((10, 10), (60, 60))) == [1, 2]
    assert update(tracker, 1, np.zeros((0, *size), bool)) == [], 'nothing has no size'
    assert update(tracker, 2, squares((60, 60))) == [2]
    assert update(tracker, 3, other) == [1]
    assert update(tracker, 4, other) == [1]
    with pytest.raises(ValueError, match='masks of 160x128 and .* px have no overlap'):
        mask_iou(squares((10, 10)), other)


@pytest.mark.parametrize('seconds', [np.nan, np.inf, -np.inf])
def test_a_time_that_is_none_is_refused_and_forgets_nothing(seconds: float) -> None:
    tracker = InstanceTracker()
    update(tracker, 0, squares((10, 10), (60, 60)))
    with pytest.raises(ValueError, match='a frame at .* s cannot be tracked'):
        tracker.update(seconds, np.ones(1, int), squares((10, 10)))
    assert update(tracker, 1, squares((60, 60))) == [2]


def shaft(x: float, y: float, angle: float) -> np.ndarray:
    """128 x 160 bool: a shaft of 12 x 60 px that ends at x, y and comes from this angle."""
    rows, columns = np.mgrid[:128, :160]
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    inside: np.ndarray = (along > 0) & (along < 60) & (np.abs(across) < 6)
    return inside


@pytest.mark.parametrize('speed', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('angles', [(np.pi, 0.0), (np.pi + 0.15, np.pi - 0.15)])
def test_two_of_one_kind_cross(speed: float, angles: tuple[float, float]) -> None:
    """From both sides and from the same, the second hidden by the first and gone at times."""
    tracker = InstanceTracker()
    for index in range(int(70 / speed)):
        first = shaft(95, 30 + speed * index, angles[0])
        second = shaft(90, 100 - speed * index, angles[1]) & ~first
        found = np.stack([first, second])
        if index % 25 in range(5, 15):  # ten frames
            assert update(tracker, index, found[:1]) == [1]
        else:
            assert update(tracker, index, found) == [1, 2]


@pytest.mark.parametrize('gap, number', [(10, 1), (11, 2)])
def test_another_that_enters_where_one_has_left(gap: int, number: int) -> None:
    """Until max_gap is over nothing tells it from the one that comes back."""
    tracker, nothing = InstanceTracker(max_gap=10), np.zeros((0, 128, 160), bool)
    leaving = [shaft(50 - 4 * step, 60, np.pi)[None] for step in range(12)]
    for index, found in enumerate([*leaving, *[nothing] * gap]):
        update(tracker, index, found)
    for step, found in enumerate(leaving[::-1]):
        assert update(tracker, len(leaving) + gap + step, found) == [number]


@pytest.mark.parametrize('speed', [2, 3, 5])
def test_one_that_stops_while_it_is_hidden_gets_its_id_back(speed: int) -> None:
    """Ten frames at its old speed would have taken it nearly its own length away, or farther."""
    tracker = InstanceTracker()
    for index in range(10):
        update(tracker, index, shaft(40 + speed * index, 60, np.pi)[None])
    for index in range(10, 20):
        update(tracker, index, np.zeros((0, 128, 160), bool))
    assert update(tracker, 20, shaft(40 + speed * 9, 60, np.pi)[None]) == [1]


def test_scores_about_the_threshold_cost_no_id() -> None:
    """Each of three is missed in two frames of five, and taken for another kind in as many."""
    rng, tracker = np.random.default_rng(0), InstanceTracker()
    for index in range(200):
        found = np.stack(
            [
                shaft(70 + 30 * np.sin(index / 10), 64, np.pi),
                shaft(115 + 15 * np.cos(index / 9), 25, 0.0),
                shaft(60 + 15 * np.sin(index / 5), 110, np.pi),
            ]
        )
        kept = rng.permutation(np.flatnonzero(rng.random(3) < 0.6)) if index else np.arange(3)
        classes = 1 + (rng.random(len(kept)) < 0.4)
        assert update(tracker, index, found[kept], classes) == (kept + 1).tolist()


def test_nothing_tiny_things_and_large_images() -> None:
    tracker = InstanceTracker()
    assert update(tracker, 0, np.zeros((0, 128, 160), bool)) == []
    masks = np.zeros((3, 1024, 1280), bool)
    masks[0, 100:300, 100:900] = True
    masks[1, 601, 601] = True
    assert update(tracker, 1, masks) == [1, 2, 0]
    assert max(tracker._tracks[0].seen.mask.shape) == GRID
    masks[0] = np.roll(masks[0], 40, axis=0)
    assert update(tracker, 1e6, masks) == [1, 2, 0], 'long after, and nothing has moved'


@pytest.mark.parametrize('angle', [0.0, 0.5 * np.pi, 0.3])
def test_a_shaft_thinner_than_the_grid_keeps_its_id(angle: float) -> None:
    """7 px at 1280x1024, where a block of the reduced mask is 8 px wide, at 1 px a frame."""
    tracker, size = InstanceTracker(), (1280, 1024)
    along, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    for index in range(20):
        middle = np.array(size) / 2 + index * across
        ends = [middle + 300 * along, middle - 300 * along]
        mask = np.zeros(size[::-1], np.uint8)
        corners = [
            end + side * across
            for end, side in zip([*ends, *ends[::-1]], (3, 3, -3, -3), strict=True)
        ]
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
        assert update(tracker, index, mask[None] > 0) == [1]


@pytest.mark.parametrize('size, step', [((40, 50), 1), ((41, 53), 8), ((5, 160), 8), ((24, 7), 3)])
def test_reduced_masks_have_what_is_in_each_block(size: tuple[int, int], step: int) -> None:
    mask = np.random.default_rng(0).random(size) > 1 - 0.5 / step**2
    expected = [
        [mask[y : y + step, x : x + step].any() for x in range(0, size[1], step)]
        for y in range(0, size[0], step)
    ]
    np.testing.assert_array_equal(reduced(mask, step), expected)
    transposed = np.ascontiguousarray(mask.T).T
    np.testing.assert_array_equal(reduced(transposed, step), expected)


def test_a_velocity_that_leaves_the_image_is_no_error() -> None:
    tracker = InstanceTracker()
    update(tracker, 0, squares((10, 50)))
    update(tracker, 1e-6, squares((20, 50)))  # 1e5 image widths per second
    assert update(tracker, 10, squares((20, 50))) == [1], 'where it was last'


def test_iou_is_that_of_sets() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((4, 9, 11)) > 0.5, rng.random((3, 9, 11)) > 0.7
    expected = [[(a & b).sum() / (a | b).sum() for b in second] for a in first]
    np.testing.assert_allclose(mask_iou(first, second), expected, rtol=1e-6)
    assert mask_iou(first, second[:0]).shape == (4, 0)
    assert mask_iou(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool)) == 0
