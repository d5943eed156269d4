"""Each protocol on frames that are counted by hand, empty ones and absent classes among them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from surgseg_ros.metrics.segmentation import ConfusionMatrix
from surgseg_ros.metrics.segmentation_protocols import PROTOCOLS

NAN = np.nan
Frame = tuple[list[int], list[int]]  # prediction, truth

RIGHT: Frame = [1, 1, 0, 0], [1, 1, 0, 0]  # class 1: IoU 1
HALF: Frame = [1, 0, 2, 2], [1, 1, 2, 2]  # class 1: 1/2, Dice 2/3; class 2: 1
MISSED: Frame = [0, 0, 0, 0], [2, 2, 0, 0]  # nothing predicted: class 2 is 0
INVENTED: Frame = [0, 0, 0, 2], [0, 0, 0, 0]  # class 2 is predicted and not there
EMPTY: Frame = [0, 0, 0, 0], [0, 0, 0, 0]
CONFUSED: Frame = [2, 2, 0, 0], [1, 1, 0, 0]  # classes 1 and 2 are 0


def score(
    protocol: str, *frames: Frame, sequences: Sequence[str] = (), num_classes: int = 4
) -> dict[str, Any]:
    images = []
    for prediction, truth in frames:
        matrix = ConfusionMatrix(num_classes)
        matrix.add(np.array([prediction], np.uint8), np.array([truth], np.uint8))
        images.append(matrix.counts)
    names = sequences or ['a'] * len(frames)
    return PROTOCOLS[protocol].figures(np.array(images), names)


@pytest.mark.parametrize(
    ('frame', 'iou', 'dice'),
    [
        (RIGHT, 1, 1),
        (HALF, 3 / 4, 5 / 6),
        (MISSED, 0, 0),
        (INVENTED, 0, 0),
        (EMPTY, 1, 1),
        (CONFUSED, 0, 0),
    ],
    ids=['right', 'half', 'missed', 'invented', 'empty', 'confused'],
)
def test_endovis17_scores_every_frame(frame: Frame, iou: float, dice: float) -> None:
    figures = score('endovis17', frame)
    assert (figures['iou'], figures['dice']) == pytest.approx((iou, dice))


def test_endovis17_means_over_frames_and_datasets() -> None:
    figures = score('endovis17', RIGHT, HALF, MISSED, sequences=['a', 'a', 'b'])
    assert figures['iou'] == pytest.approx((1 + 3 / 4 + 0) / 3)
    assert figures['iou_mean_of_datasets'] == pytest.approx((7 / 8 + 0) / 2)
    assert figures['datasets']['a'] == pytest.approx({'iou': 7 / 8, 'dice': 11 / 12})
    np.testing.assert_allclose(figures['classes']['iou'], [3 / 4, 3 / 4, 1 / 2, NAN])


ENDOVIS18 = {  # challenge IoU, IoU, mcIoU, mIoU, percent
    'right': ((RIGHT,), (100, 100, 100, 100)),
    'half': ((HALF,), (75, 75, 75, 75)),  # 1 + 2 of 2 + 2 px
    'missed': ((MISSED,), (0, 0, 0, NAN)),  # enters no union
    'invented': ((INVENTED,), (NAN, 0, 0, 0)),  # no class in the truth, one in the prediction
    'empty': ((EMPTY,), (NAN, NAN, NAN, NAN)),
    'confused': ((CONFUSED,), (0, 0, 0, 0)),
    'right, empty': ((RIGHT, EMPTY), (100, 100, 100, 100)),
    'right, missed': ((RIGHT, MISSED), (50, 50, 50, 100)),
    'right, invented': ((RIGHT, INVENTED), (100, 50, 50, 66.667)),
    'right, half, missed': ((RIGHT, HALF, MISSED), (58.333, 58.333, 62.5, 83.333)),
}


@pytest.mark.parametrize(('frames', 'expected'), ENDOVIS18.values(), ids=ENDOVIS18)
def test_endovis18(frames: tuple[Frame, ...], expected: tuple[float, ...]) -> None:
    figures = score('endovis18', *frames)
    found = [figures[key] for key in ('challenge_iou', 'iou', 'mc_iou', 'miou')]
    np.testing.assert_array_equal(found, expected)  # rounded to three decimals, as published


def test_endovis18_dice_and_classes() -> None:
    figures = score('endovis18', HALF, MISSED)
    assert figures['dice'] == pytest.approx((83.333 + 0) / 2, abs=1e-3)
    assert figures['mdice'] == pytest.approx(100 * 6 / 7, abs=1e-3)
    np.testing.assert_array_equal(figures['classes']['iou'], [NAN, 50, 50, NAN])


def test_cata7_does_not_count_what_is_background_in_one_of_both() -> None:
    figures = score('cata7', HALF, MISSED, INVENTED)
    assert figures['iou'] == figures['dice'] == 1
    assert figures['iou_with_background'] == pytest.approx((1 / 2 + 2 / 5) / 2)
    # background: 2 + 3 right, 1 + 2 + 1 wrong
    assert figures['iou_all_classes'] == pytest.approx((5 / 9 + 1 / 2 + 2 / 5) / 3)
    assert score('cata7', CONFUSED)['iou'] == 0
    assert np.isnan(score('cata7', EMPTY)['iou'])


@pytest.mark.parametrize(
    ('frames', 'iou'),
    [
        ((RIGHT,), 1),
        ((CONFUSED,), 1),  # a tool is a tool
        ((EMPTY,), 1),
        ((MISSED,), 0),
        ((INVENTED,), 0),
        ((HALF,), 3 / 4),
    ],
    ids=['right', 'confused', 'empty', 'missed', 'invented', 'half'],
)
def test_ris17_asks_for_tools_of_any_kind(frames: tuple[Frame, ...], iou: float) -> None:
    as_one = tuple((np.minimum(p, 1).tolist(), np.minimum(t, 1).tolist()) for p, t in frames)
    assert score('ris17', *as_one, num_classes=2)['iou'] == pytest.approx(iou, abs=1e-5)


def test_ris17_is_the_plain_mean_of_the_datasets() -> None:
    figures = score(
        'ris17', EMPTY, EMPTY, ([0] * 4, [1] * 4), sequences=list('aab'), num_classes=2
    )
    assert figures['iou'] == pytest.approx(1 / 2, abs=1e-5)
    assert figures['iou_frame_mean'] == pytest.approx(2 / 3, abs=1e-5)


def test_absence_counts_every_answer_for_a_class_that_is_not_there() -> None:
    figures = score('absence', RIGHT, HALF, MISSED, INVENTED, EMPTY, CONFUSED)
    # RIGHT 1; HALF (1/2 + 1) / 2; MISSED 0; INVENTED 0; EMPTY not; CONFUSED (0 + 0) / 2
    assert figures['iou'] == pytest.approx((1 + 3 / 4) / 5)
    assert figures['mc_iou'] == pytest.approx(((1 + 1 / 2 + 0) / 3 + (1 + 0 + 0 + 0) / 4) / 2)
    assert (figures['present_asked'], figures['present_missed']) == (5, 2)
    assert (figures['absent_asked'], figures['absent_answered']) == (13, 2)
    assert np.isnan(score('absence', EMPTY)['iou'])


def test_unlabelled_truth_counts_nowhere_and_unlabelled_prediction_is_missed() -> None:
    assert score('endovis17', ([1, 1, 2, 255], [1, 1, 255, 1]))['iou'] == pytest.approx(2 / 3)


def test_scores_agree_with_torchmetrics() -> None:
    """Jaccard and Dice of TorchMetrics, over frames that have all classes, by cata7's rules."""
    torch = pytest.importorskip('torch')
    functional = pytest.importorskip('torchmetrics').functional
    rng = np.random.default_rng(3)
    frames = [(rng.integers(0, 4, 200).tolist(), rng.integers(0, 4, 200).tolist()) for _ in '123']
    found, true = (torch.tensor([frame[i] for frame in frames]) for i in (0, 1))
    figures = score('cata7', *frames)
    jaccard = functional.jaccard_index(found, true, 'multiclass', num_classes=4, average='none')
    assert figures['iou_all_classes'] == pytest.approx(jaccard.mean().item(), abs=1e-6)
    f1 = functional.f1_score(found, true, 'multiclass', num_classes=4, average='none')
    np.testing.assert_allclose(figures['classes']['dice'], f1.numpy(), atol=1e-6)
    per_frame = [
        functional.jaccard_index(f, t, 'multiclass', num_classes=4, average='none')[1:].mean()
        for f, t in zip(found, true, strict=True)
    ]
    assert score('endovis17', *frames)['iou'] == pytest.approx(np.mean(per_frame), abs=1e-6)
