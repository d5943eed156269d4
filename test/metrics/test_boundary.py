"""Boundary F1, counted by hand."""

import numpy as np
import pytest

from surgseg_ros.metrics.boundary import boundary_f1


def square(left: int, value: int = 1) -> np.ndarray:
    """Labels of 40 x 40 px with a square of 10 x 10 px."""
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, left : left + 10] = value
    return labels


def test_an_outline_within_the_tolerance_is_right() -> None:
    diagonal = np.hypot(40, 40)
    moved = boundary_f1(square(12), square(10), 2, tolerance=2.01 / diagonal)
    assert moved[1] == 1
    assert boundary_f1(square(10), square(10), 2, tolerance=0)[1] == 1


def test_counted_by_hand() -> None:
    """Moved by 2 px, within reach 0: the 8 + 8 pixels of the two long sides that both have."""
    scores = boundary_f1(square(12), square(10), 2, tolerance=0)
    outline = 4 * 9
    assert scores[1] == pytest.approx(2 * 8 / outline)


def test_classes_that_one_has_or_none() -> None:
    scores = boundary_f1(square(10, 2), square(10, 1), 4)
    assert scores[0] == 1
    np.testing.assert_array_equal(scores[1:], [0, 0, np.nan])
    full = np.ones((5, 5), np.uint8)
    np.testing.assert_array_equal(boundary_f1(full, full, 2), [np.nan, 1])


def test_unlabelled_pixels_of_the_truth_count_nowhere() -> None:
    truth, prediction = square(10), square(10)
    truth[25:, 25:], prediction[30:35, 30:35] = 255, 1
    assert boundary_f1(prediction, truth, 2)[1] == 1
