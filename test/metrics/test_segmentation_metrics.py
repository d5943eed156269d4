"""Counted by hand, read from the papers' tables, or compared with golden figures."""

from pathlib import Path

import numpy as np
import pytest

from surgseg_ros.metrics.segmentation import (
    ConfusionMatrix,
    binary_iou,
    challenge_values,
    instrument_scores,
    mean_over_classes,
    sequence_scores,
)

GOLDEN = Path(__file__).parent.parent / 'golden' / 'lwanet_metrics.npz'
NAN = np.nan


def labels(*rows):
    return np.array(rows, np.uint8)


def matrix(prediction, truth, num_classes=3):
    counted = ConfusionMatrix(num_classes)
    counted.add(labels(prediction), labels(truth))
    return counted


def test_counted_by_hand():
    counted = matrix([0, 0, 1, 1, 2, 1], [0, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(counted.counts[:, :3], [[1, 0, 0], [1, 2, 0], [0, 1, 1]])
    np.testing.assert_allclose(counted.iou, [1 / 2, 2 / 4, 1 / 2])
    np.testing.assert_allclose(counted.dice, [2 / 3, 4 / 6, 2 / 3])
    assert counted.accuracy == pytest.approx(4 / 6)


def test_counts_add_up_over_images():
    both = matrix([1, 1], [1, 0])
    both.add(labels([2, 0, 1]), labels([1, 0, 1]))
    np.testing.assert_allclose(both.iou, [1 / 2, 2 / 4, 0])


def test_unlabelled_truth_counts_nowhere_and_unlabelled_prediction_is_missed():
    counted = matrix([1, 2, 255, 1], [1, 255, 1, 1])
    np.testing.assert_allclose(counted.iou[1], 2 / 3)
    assert counted.counts.sum() == 3


def test_absent_classes_are_skipped_in_the_mean():
    counted = matrix([1, 1, 0], [1, 0, 0], num_classes=4)
    np.testing.assert_array_equal(np.isnan(counted.iou), [False, False, True, True])
    assert mean_over_classes(counted.iou) == pytest.approx(1 / 2)
    assert mean_over_classes(counted.iou, background=True) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert np.isnan(mean_over_classes(np.array([1.0, NAN])))


def test_without_background_only_confusion_among_classes_counts():
    counted = matrix([0, 1, 2, 2], [1, 1, 1, 0]).without_background()
    np.testing.assert_allclose(counted.iou, [1 / 2, 0])


def test_lwanets_figures():
    golden = np.load(GOLDEN)
    counted = ConfusionMatrix(11)
    counted.add(golden['prediction'], golden['truth'])
    foreground = counted.without_background()
    np.testing.assert_allclose(foreground.iou, golden['iou'], rtol=1e-12)
    np.testing.assert_allclose(foreground.dice, golden['dice'], rtol=1e-12)


@pytest.mark.parametrize(
    ('prediction', 'truth', 'message'),
    [
        ([1, 3], [1, 1], 'the prediction has class id 3'),
        ([1, 1], [1, 7], 'the truth has class id 7'),
        ([1], [1, 1], r'prediction is \(1, 1\)'),
    ],
)
def test_wrong_input_is_named(prediction, truth, message):
    with pytest.raises(ValueError, match=message):
        matrix(prediction, truth)


@pytest.mark.parametrize(
    ('ids', 'message'),
    [
        (np.array([1, -1]), 'the prediction has class id -1, expected 0 to 2'),
        (np.array([1, -1, 2]), 'the prediction has class id -1'),
        (np.array([0.7, 1]), 'the prediction is float64, expected integer class ids'),
    ],
)
def test_the_wrong_id_is_named_and_no_float_is_cut(ids, message):
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(3).add(ids, np.ones(len(ids), np.uint8))


def counted(*images, num_classes=4):
    """N x C x (C + 1) counts of (prediction, truth) pairs."""
    return np.array([matrix(*pair, num_classes).counts for pair in images])


def test_means_over_images():
    scores = instrument_scores(
        counted(
            ([1, 1, 2, 0], [1, 1, 0, 0]),  # class 1: 1; class 2, predicted only: 0
            ([1, 3, 3, 3], [1, 1, 3, 3]),  # class 1: 1/2; class 3: 2/3
        )
    )
    assert scores.challenge == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert scores.either == pytest.approx((1 / 2 + (1 / 2 + 2 / 3) / 2) / 2)
    np.testing.assert_allclose(scores.class_means, [3 / 4, 0, 2 / 3])
    assert scores.mean_class == pytest.approx((3 / 4 + 0 + 2 / 3) / 3)
    assert scores.cumulative == pytest.approx((2 + 1 + 2) / (2 + 1 + 2 + 3))


def test_empty_predictions_count_as_zero_and_empty_images_not_at_all():
    images = counted(([1, 0], [1, 0]), ([0, 0], [2, 2]), ([0, 0], [0, 0]))
    np.testing.assert_array_equal(challenge_values(images), [1, 0, NAN])
    scores = instrument_scores(images)
    assert scores.challenge == scores.either == pytest.approx(1 / 2)
    np.testing.assert_array_equal(scores.class_means, [1, 0, NAN])
    assert scores.cumulative == 1  # the published code leaves empty predictions out


def test_instruments_found_where_none_are_lower_iou_but_not_challenge_iou():
    scores = instrument_scores(counted(([1, 0], [1, 0]), ([0, 3], [0, 0])))
    assert scores.challenge == 1 and scores.either == pytest.approx(1 / 2)


def test_challenge_mean_of_the_papers_table():
    """LWANet Table III: the last column is the mean weighted by the frames of the ten datasets."""
    frames = [75] * 8 + [300] * 2
    names = [f'dataset {number}' for number in range(1, 11)]
    table = {
        0.542: [0.177, 0.766, 0.611, 0.871, 0.649, 0.593, 0.305, 0.833, 0.357, 0.609],
        0.583: [0.096, 0.758, 0.889, 0.898, 0.761, 0.627, 0.454, 0.875, 0.230, 0.763],
    }
    for printed, values in table.items():
        scores = sequence_scores(np.repeat(values, frames), list(np.repeat(names, frames)))
        assert scores.frame_mean == pytest.approx(printed, abs=5e-4)
        assert scores.mean == pytest.approx(np.mean(values))
        assert scores.sequences['dataset 4'] == pytest.approx(values[3])


def test_frames_that_do_not_count_and_sequences_of_them():
    scores = sequence_scores([0.5, NAN, 1, NAN], ['a', 'a', 'b', 'c'])
    assert scores.mean == pytest.approx(3 / 4)
    assert scores.frame_mean == pytest.approx((2 * 0.5 + 1) / 3)
    assert np.isnan(scores.sequences['c'])


def test_binary_iou():
    assert binary_iou(labels([255, 255, 0]), labels([10, 0, 0])) == pytest.approx(1 / 2, abs=1e-5)
    assert binary_iou(labels([0]), labels([0])) == 1
