"""Tracking metrics on sequences small enough to count by hand."""

import numpy as np
import pytest

from surgseg_ros.metrics.tracking import TrackingScore

BOXES = np.zeros((4, 8, 40), bool)  # four that do not touch
for _number in range(4):
    BOXES[_number, :, 10 * _number : 10 * _number + 8] = True


def score(*frames):
    """Metrics of frames ({true id: box}, {id: box})."""
    judge = TrackingScore()
    for truth, found in frames:
        judge.add(
            np.array(list(truth), int),
            BOXES[list(truth.values())],
            np.array(list(found), int),
            BOXES[list(found.values())],
        )
    return judge.metrics()


def test_perfect_whatever_the_numbers() -> None:
    metrics = score(*[({1: 0, 2: 1}, {7: 1, 5: 0})] * 4)
    assert (metrics.truths, metrics.identity_switches, metrics.mota, metrics.idf1) == (8, 0, 1, 1)


def test_a_swap_is_two_switches_once() -> None:
    metrics = score(*[({1: 0, 2: 1}, {1: 0, 2: 1})] * 3, *[({1: 0, 2: 1}, {2: 0, 1: 1})] * 2)
    assert metrics.identity_switches == 2
    assert metrics.mota == 1 - 2 / 10
    assert metrics.idf1 == 2 * 6 / (10 + 10)  # of ten, six have the id that is theirs


def test_misses_and_false_positives() -> None:
    metrics = score(({1: 0, 2: 1}, {1: 0, 3: 2}), ({1: 0}, {}), ({}, {4: 3}), ({1: 0}, {1: 0}))
    assert (metrics.truths, metrics.misses, metrics.false_positives) == (4, 2, 2)
    assert metrics.identity_switches == 0 and metrics.mota == 0
    assert metrics.idf1 == 2 * 2 / (4 + 4)


def test_a_new_id_after_a_gap_is_a_switch_and_the_old_one_is_none() -> None:
    seen, gone = ({1: 0}, {1: 0}), ({1: 0}, {})
    assert score(seen, gone, gone, seen).identity_switches == 0
    assert score(seen, gone, gone, ({1: 0}, {2: 0})).identity_switches == 1


def test_a_pair_stays_one_although_another_overlaps_more() -> None:
    judge, wide = TrackingScore(), BOXES[:1].copy()
    wide[0, :, 8:12] = True  # IoU 2/3 with the box
    judge.add(np.array([1]), BOXES[:1], np.array([5]), wide)
    judge.add(np.array([1]), BOXES[:1], np.array([6, 5]), np.concatenate([BOXES[:1], wide]))
    assert judge.metrics().identity_switches == 0
    assert judge.metrics().false_positives == 1


def test_masks_that_overlap_less_than_half_are_no_pair() -> None:
    judge, narrow = TrackingScore(), BOXES[:1].copy()
    narrow[0, :, 3:] = False
    judge.add(np.array([1]), BOXES[:1], np.array([1]), narrow)
    assert (judge.metrics().misses, judge.metrics().false_positives) == (1, 1)


@pytest.mark.parametrize('found', [{}, {1: 0}])
def test_without_truth_there_is_no_figure(found) -> None:
    metrics = score(({}, found))
    assert np.isnan(metrics.mota) and np.isnan(metrics.idf1)
    assert metrics.false_positives == len(found)
