"""Overlap of class labels as each challenge or paper defines it, from pixels counted per image.

Every protocol is a function of two things: `images`, N x C x (C + 1) int64, the counts of a
ConfusionMatrix for each image, and the name of the sequence that each image is of. It returns
figures by name, NaN where nothing counts. Background (class 0) is scored only where it is said.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surgseg_ros.metrics.segmentation import (
    Overlap,
    challenge_values,
    dice_of,
    instrument_scores,
    iou_of,
    known_mean,
    sequence_scores,
)

Figures = dict[str, Any]
OVERLAPS: dict[str, Overlap] = {'iou': iou_of, 'dice': dice_of}
_EPSILON = 1e-6  # of ris17


@dataclass(frozen=True)
class Protocol:
    """A way to score labels. definition: in one sentence; unit: of the figures."""

    definition: str
    figures: Callable[[np.ndarray, Sequence[str]], Figures]
    unit: str = 'fraction'
    binary: bool = False  # every class but the background is one


def summary(images: np.ndarray, sequences: Sequence[str]) -> Figures:
    """One confusion matrix over all frames, and beside it the figures that papers print."""
    total, scores = images.sum(axis=0)[None], instrument_scores(images)
    figures: Figures = {
        'classes': {**_per_class(total), 'pixels': images.sum(axis=(0, 2)).tolist()},
        'pixel_accuracy': float(np.trace(total[0]) / max(total.sum(), 1)),
    }
    figures['lwanet'] = {}
    for name, overlap in OVERLAPS.items():
        figures[f'mean_{name}'] = known_mean(overlap(total)[0, 1:])
        figures[f'mean_{name}_with_background'] = known_mean(overlap(total)[0])
        figures['lwanet'][f'mean_{name}'] = known_mean(overlap(total[:, 1:, 1:])[0])
    figures['surgicalsam'] = {
        'challenge_iou': scores.challenge,
        'iou': scores.either,
        'mean_class_iou': scores.mean_class,
        'cumulative_iou': scores.cumulative,
    }
    by_sequence = sequence_scores(challenge_values(images), sequences)
    figures['challenge_by_sequence'] = {
        'mean': by_sequence.mean,
        'frame_mean': by_sequence.frame_mean,
        'sequences': dict(by_sequence.sequences),
    }
    if images.shape[1] == 2:
        ris = ris17(images, sequences)
        figures['msdesis'] = {
            'iou': ris['iou'],
            'sequences': {name: one['iou'] for name, one in ris['datasets'].items()},
        }
    return figures


def endovis17(images: np.ndarray, sequences: Sequence[str]) -> Figures:
    """EndoVis 2017 challenge (Allan et al., arXiv:1902.06426, section 3; LWANet, Table III)."""
    figures: Figures = {'classes': _per_class(images, where=_in_truth(images))}
    datasets: dict[str, Figures] = {name: {} for name in dict.fromkeys(sequences)}
    for name, overlap in OVERLAPS.items():
        scores = sequence_scores(_frames_of_endovis17(images, overlap), sequences)
        figures[name] = scores.frame_mean
        figures[f'{name}_mean_of_datasets'] = scores.mean
        for dataset, value in scores.sequences.items():
            datasets[dataset][name] = value
    return figures | {'datasets': datasets}


def _frames_of_endovis17(images: np.ndarray, overlap: Overlap) -> list[float]:
    """Per image, mean over the classes of its truth; without any, 1 if none is predicted or 0."""
    there = _in_truth(images)[:, 1:]
    right = np.logical_not(_in_prediction(images)[:, 1:].any(axis=1)).tolist()
    return [
        known_mean(values[present]) if present.any() else float(empty)
        for values, present, empty in zip(overlap(images)[:, 1:], there, right, strict=True)
    ]


def endovis18(images: np.ndarray, sequences: Sequence[str]) -> Figures:
    """ISINet's scores of EndoVis 2018 as SurgicalSAM prints them (AAAI 2024, section 4.1)."""
    figures: Figures = {'classes': {}}
    for name, overlap in OVERLAPS.items():
        scores = instrument_scores(images, overlap)
        figures |= {
            f'challenge_{name}': _percent(scores.challenge),
            name: _percent(scores.either),
            f'mc_{name}': _percent(scores.mean_class),
            f'm{name}': _percent(scores.cumulative),
        }
        figures['classes'][name] = [np.nan, *map(_percent, scores.class_means)]
    return figures


def cata7(images: np.ndarray, sequences: Sequence[str]) -> Figures:
    """LWANet's evaluation of Cata7 (arXiv:1910.11109, its released code), and an honest one.

    LWANet drops row and column of the background from one confusion matrix: a tool taken for
    background counts nowhere, nor does background taken for a tool. `*_with_background` keeps
    them, averaged over the same classes; `*_all_classes` averages over the background, too.
    """
    total = images.sum(axis=0)[None]
    figures: Figures = {'classes': _per_class(total)}
    for name, overlap in OVERLAPS.items():
        whole = overlap(total)[0]
        figures |= {
            name: known_mean(overlap(total[:, 1:, 1:])[0]),
            f'{name}_with_background': known_mean(whole[1:]),
            f'{name}_all_classes': known_mean(whole),
        }
    return figures


def ris17(images: np.ndarray, sequences: Sequence[str]) -> Figures:
    """MSDESIS's evaluation of RIS 2017 (IEEE TMI 2022): any tool, with 1e-6 above and below."""
    hits, truth, found = _pixels(images)
    right, sizes = hits[:, 1].astype(float), (truth + found)[:, 1].astype(float)
    scores = {
        'iou': sequence_scores((right + _EPSILON) / (sizes - right + _EPSILON), sequences),
        'dice': sequence_scores((2 * right + _EPSILON) / (sizes + _EPSILON), sequences),
    }
    classes = {name: [np.nan, one.mean] for name, one in scores.items()}
    return {
        'classes': classes,
        **{name: one.mean for name, one in scores.items()},
        **{f'{name}_frame_mean': one.frame_mean for name, one in scores.items()},
        'datasets': {
            dataset: {name: one.sequences[dataset] for name, one in scores.items()}
            for dataset in scores['iou'].sequences
        },
    }


def absence(images: np.ndarray, sequences: Sequence[str]) -> Figures:
    """Every class is asked for in every image (R-SIS: Choi & Park, arXiv:2411.12199)."""
    there, answered = _in_truth(images)[:, 1:], _in_prediction(images)[:, 1:]
    counted = np.pad(there | answered, ((0, 0), (1, 0)))
    figures: Figures = {'classes': _per_class(images, where=counted)}
    for name, overlap in OVERLAPS.items():
        values = np.where(counted, np.nan_to_num(overlap(images)), np.nan)
        figures[name] = known_mean([known_mean(row) for row in values])
        figures[f'mc_{name}'] = known_mean([known_mean(column) for column in values.T])
    return figures | {
        'present_asked': int(there.sum()),
        'present_missed': int((there & ~answered).sum()),
        'absent_asked': int((~there).sum()),
        'absent_answered': int((~there & answered).sum()),
    }


PROTOCOLS = {
    'summary': Protocol(
        'pixels of all frames in one confusion matrix, classes without any left out', summary
    ),
    'endovis17': Protocol(
        'mean over frames of the mean over the classes in their truth; a frame without any '
        'scores 1 if none is predicted, else 0',
        endovis17,
    ),
    'endovis18': Protocol(
        'ISINet / SurgicalSAM: means over frames with tools in truth or prediction; an empty '
        'prediction scores 0 and stays out of mIoU, sums of intersections over sums of unions',
        endovis18,
        'percent',
    ),
    'cata7': Protocol(
        'LWANet: one confusion matrix without the row and column of the background; beside it '
        'with them',
        cata7,
    ),
    'ris17': Protocol(
        'MSDESIS: any tool, IoU per frame, mean per dataset, plain mean of the datasets',
        ris17,
        binary=True,
    ),
    'absence': Protocol(
        'R-SIS: every class is asked for in every frame; an answer for an absent class scores 0',
        absence,
    ),
}


def _pixels(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels that are right, true and predicted, N x C each."""
    hits = np.diagonal(images, axis1=1, axis2=2)
    return hits, images.sum(axis=2), images[:, :, :-1].sum(axis=1)


def _in_truth(images: np.ndarray) -> np.ndarray:
    return _pixels(images)[1] > 0


def _in_prediction(images: np.ndarray) -> np.ndarray:
    return _pixels(images)[2] > 0


def _per_class(images: np.ndarray, where: np.ndarray | None = None) -> dict[str, list[float]]:
    """Mean of each class over the images `where` (N x C bool) it counts; all if None."""
    found = {}
    for name, overlap in OVERLAPS.items():
        values = overlap(images)
        if where is not None:
            values = np.where(where, values, np.nan)
        found[name] = [known_mean(column) for column in values.T]
    return found


def _percent(value: float) -> float:
    """As SurgicalSAM rounds."""
    return round(100 * float(value), 3)
