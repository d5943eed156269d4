"""Instances against the truth: COCO's average precision, by pycocotools."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from surgseg_ros.datasets import InstanceSample
from surgseg_ros.evaluation.evaluators import without_nan
from surgseg_ros.evaluation.evaluators.worst_frames import WorstFrames, small
from surgseg_ros.evaluation.tables import Table
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.media import pictures
from surgseg_ros.metrics.coco_checks import Json
from surgseg_ros.metrics.instances import InstanceMetrics, average_precision, coco_truth, records

DEFINITION = 'COCO: average precision of masks by pycocotools, at most 100 detections a frame'
_TITLES = {
    'ap': 'AP',
    'ap50': 'AP50',
    'ap75': 'AP75',
    'ap_small': 'AP_S',
    'ap_medium': 'AP_M',
    'ap_large': 'AP_L',
}


class InstanceEvaluator:
    """An Evaluator of InstanceResult on InstanceSample. class_names: by class id."""

    def __init__(self, class_names: Sequence[str], keep_pictures: bool = False) -> None:
        self.class_names = tuple(class_names)
        self._sizes: list[tuple[int, int]] = []
        self._truth: list[Json] = []
        self._found: list[Json] = []
        self._worst = WorstFrames(keep_pictures)

    def add(self, frame: InstanceSample, result: InstanceResult) -> None:
        """Keep one frame; ValueError if its masks have another size."""
        size = frame.image.shape[0], frame.image.shape[1]
        if result.masks.shape[1:] != size:
            raise ValueError(f'{frame.name}: masks are {result.masks.shape[1:]}, the image {size}')
        self._sizes.append(size)
        number = len(self._sizes)
        self._truth += frame.annotations(number)
        self._found += records(number, result.class_ids, result.masks, result.scores)
        score = _overlap(frame, result)
        self._worst.add(score, lambda: self._row(frame, result, score))

    def metrics(self) -> InstanceMetrics:
        """Average precision of all frames so far; ValueError without frames."""
        if not self._sizes:
            raise ValueError('there was no frame to evaluate')
        truth = coco_truth(self._sizes, self._truth, self.class_names)
        return average_precision(truth, self._found)

    def figures(self) -> dict[str, object]:
        """See Evaluator; InstanceMetrics by name."""
        return figures(self.metrics(), len(self._sizes))

    def table(self) -> Table:
        """One row."""
        return table(self.figures())

    def pictures(self) -> dict[str, np.ndarray]:
        """Truth beside what was found in the worst, the median and the best frame."""
        return self._worst.pictures()

    def _row(self, frame: InstanceSample, result: InstanceResult, score: float) -> np.ndarray:
        truth = frame.image.copy()
        for mask in frame.masks:
            pictures.outline(truth, mask.astype(np.uint8))
        found = pictures.overlay_instances(
            frame.image, _named(result, self.class_names), opacity=0.5
        )
        titles = f'truth  {frame.name}', f'{frame.name}  IoU {score:.3f}'
        return np.hstack(
            [
                pictures.caption(small(one), title)
                for one, title in zip((truth, found), titles, strict=True)
            ]
        )


def figures(metrics: InstanceMetrics, frames: int) -> dict[str, object]:
    """Metrics as an InstanceEvaluator gives them."""
    head = {'protocol': 'coco', 'definition': DEFINITION, 'frames': frames}
    return without_nan({**head, **asdict(metrics)})


def table(figures: Mapping[str, Any]) -> Table:
    """Figures of an InstanceEvaluator for people; a dash where the truth has no such size."""
    cells = tuple(figures[key] for key in _TITLES)
    return Table(figures['protocol'], tuple(_TITLES.values()), (('masks', cells),), 4)


def _overlap(frame: InstanceSample, result: InstanceResult) -> float:
    """IoU of the union of all instruments; NaN if truth and result are both empty."""
    true, found = frame.masks.any(axis=0), result.masks.any(axis=0)
    union = np.count_nonzero(true | found)
    return np.count_nonzero(true & found) / union if union else float('nan')


def _named(result: InstanceResult, class_names: tuple[str, ...]) -> InstanceResult:
    return result if result.class_names else replace(result, class_names=class_names)
