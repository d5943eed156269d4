"""Choosing among the instances of a result."""

import numpy as np
import pytest

from surgseg_ros.frames.results import InstanceResult, mask_boxes


def result(*boxes: tuple[int, int, int, int]) -> InstanceResult:
    """Rectangles of classes 1, 2, ..., the first the best."""
    masks = np.zeros((len(boxes), 40, 60), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    scores = np.linspace(0.9, 0.1, len(boxes), dtype=np.float32)
    return InstanceResult(
        np.arange(len(boxes)) + 1, scores, mask_boxes(masks), masks, parts=masks.astype(np.uint8)
    )


def test_the_best_ones():
    found = result((0, 0, 9, 9), (10, 0, 19, 9), (20, 0, 29, 9))
    assert found.best(2).class_ids.tolist() == [1, 2]
    assert found.best(9, 0.6).class_ids.tolist() == [1]
    assert len(found.best(9, 0.6).parts) == 1


# the second overlaps the first by a third, and the third (30 of 170 px) stays in any case
@pytest.mark.parametrize(('overlap', 'kept'), [(0.3, [1, 3]), (0.34, [1, 2, 3]), (1.0, [1, 2, 3])])
def test_distinct_drops_what_covers_a_better_one(overlap: float, kept: list[int]):
    found = result((0, 0, 10, 10), (5, 0, 15, 10), (12, 0, 22, 10))
    chosen = found.distinct(overlap)
    assert chosen.class_ids.tolist() == kept
    assert chosen.masks.shape == chosen.parts.shape == (len(kept), 40, 60)


def test_who_is_dropped_drops_nobody():
    found = result((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))
    assert found.distinct(0.4).class_ids.tolist() == [1, 3]


def test_twins_go_unless_all_stay_and_nothing_is_nothing():
    twins = result((0, 0, 10, 10), (0, 0, 10, 10))
    assert twins.distinct(0.99).class_ids.tolist() == [1]
    assert twins.distinct(1.0).class_ids.tolist() == [1, 2]
    assert result().distinct(0.5).class_ids.tolist() == []
