"""Track ids against the truth: MOTA, IDF1 and HOTA, by TrackEval."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from surgseg_ros.datasets import InstanceSample
from surgseg_ros.evaluation.evaluators import without_nan
from surgseg_ros.evaluation.tables import Cell, Table
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.metrics.tracking import TrackingMetrics, TrackingScore

DEFINITION = 'CLEAR MOT and IDF1 at mask IoU 0.5, HOTA over 0.05 to 0.95, by TrackEval'
_TITLES = {
    'truths': 'truths',
    'misses': 'missed',
    'false_positives': 'extra',
    'identity_switches': 'switches',
    'mota': 'MOTA',
    'idf1': 'IDF1',
    'hota': 'HOTA',
    'det_a': 'DetA',
    'ass_a': 'AssA',
}


class TrackingEvaluator:
    """An Evaluator of InstanceResult with track ids on InstanceSample with track ids.

    threshold: least IoU with a true instance for a match, for MOTA and IDF1.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self._score = TrackingScore(threshold)
        self._frames = 0

    def add(self, frame: InstanceSample, result: InstanceResult) -> None:
        """Judge one frame, in the order of time; ValueError without track ids."""
        if frame.track_ids is None or result.track_ids is None:
            whose = 'truth' if frame.track_ids is None else 'result'
            raise ValueError(f'{frame.name}: the {whose} has no track ids to judge')
        self._score.add(frame.track_ids, frame.masks, result.track_ids, result.masks)
        self._frames += 1

    def metrics(self) -> TrackingMetrics:
        """Metrics of all frames so far; ValueError without frames."""
        if not self._frames:
            raise ValueError('there was no frame to evaluate')
        return self._score.metrics()

    def figures(self) -> dict[str, object]:
        """See Evaluator; TrackingMetrics by name."""
        head = {'protocol': 'mot', 'definition': DEFINITION, 'frames': self._frames}
        return without_nan({**head, **asdict(self.metrics())})

    def table(self) -> Table:
        """One row."""
        return table({'tracks': self.figures()})

    def pictures(self) -> dict[str, np.ndarray]:
        """None."""
        return {}


def table(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """Figures of several runs for people, a row each."""
    keys = [one.name for one in fields(TrackingMetrics)]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...] = tuple(
        (name, tuple(values[key] for key in keys)) for name, values in figures.items()
    )
    return Table('mot', tuple(_TITLES[key] for key in keys), rows, 4)
