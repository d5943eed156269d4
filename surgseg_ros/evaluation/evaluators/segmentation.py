"""Class labels against the truth, by any protocol of metrics.segmentation_protocols."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surgseg_ros.datasets import SegmentationSample
from surgseg_ros.evaluation.evaluators import without_nan
from surgseg_ros.evaluation.evaluators.worst_frames import WorstFrames, small
from surgseg_ros.evaluation.tables import Table
from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.media import pictures
from surgseg_ros.metrics.boundary import TOLERANCE, boundary_f1
from surgseg_ros.metrics.segmentation import (
    UNLABELLED,
    ConfusionMatrix,
    challenge_values,
    known_mean,
)
from surgseg_ros.metrics.segmentation_protocols import PROTOCOLS

_SCORES = {'iou': 'IoU %', 'dice': 'Dice %', 'boundary_f1': 'boundary F1 %'}


class SegmentationEvaluator:
    """An Evaluator of SemanticResult on SegmentationSample.

    class_names: by class id. protocol: of PROTOCOLS. keep_pictures: keep what pictures() needs.
    """

    def __init__(
        self, class_names: Sequence[str], protocol: str = 'summary', keep_pictures: bool = False
    ) -> None:
        self._protocol, self._name = PROTOCOLS[protocol], protocol
        self._all_names = tuple(class_names)
        self.class_names = ('background', 'tool') if self._protocol.binary else self._all_names
        self._images: list[np.ndarray] = []
        self._boundaries: list[np.ndarray] = []
        self._frames: list[str] = []
        self._worst = WorstFrames(keep_pictures)

    def add(self, frame: SegmentationSample, result: SemanticResult) -> None:
        """Count one frame; ValueError if sizes differ or an id is no class."""
        try:
            prediction, truth = map(self._labels, (result.labels, frame.labels))
            matrix = ConfusionMatrix(len(self.class_names))
            matrix.add(prediction, truth)
        except ValueError as error:
            raise ValueError(f'{frame.name}: {error}') from error
        self._images.append(matrix.counts)
        self._boundaries.append(boundary_f1(prediction, truth, len(self.class_names)))
        self._frames.append(frame.name)
        score = challenge_values(matrix.counts[None])[0]
        self._worst.add(score, lambda: self._row(frame, result.labels, score))

    def _labels(self, labels: np.ndarray) -> np.ndarray:
        """One class of all but the background, where the protocol asks for that."""
        if not self._protocol.binary:
            return labels
        ConfusionMatrix(len(self._all_names)).add(labels, labels)  # are they class ids at all?
        return np.where(labels == UNLABELLED, labels, np.minimum(labels, 1)).astype(np.uint8)

    def figures(self) -> dict[str, object]:
        """See Evaluator; beside the protocol's own figures, per class and boundary F1."""
        if not self._frames:
            raise ValueError('there was no frame to evaluate')
        scale = 100 if self._protocol.unit == 'percent' else 1
        sequences = [name.rpartition('/')[0] for name in self._frames]
        figures = self._protocol.figures(np.array(self._images), sequences)
        boundary = [scale * known_mean(column) for column in np.array(self._boundaries).T]
        classes = {**figures.pop('classes'), 'boundary_f1': boundary}
        return without_nan(
            {
                'protocol': self._name,
                'definition': self._protocol.definition,
                'unit': self._protocol.unit,
                'frames': len(self._frames),
                'classes': {
                    name: {key: values[number] for key, values in classes.items()}
                    for number, name in enumerate(self.class_names)
                },
                **figures,
                'boundary_f1': known_mean(boundary[1:]),
                'boundary_tolerance': TOLERANCE,
            }
        )

    def table(self) -> Table:
        """A row per class, then one for each mean that the protocol defines, in percent."""
        return table(self.figures())

    def pictures(self) -> dict[str, np.ndarray]:
        """Truth beside prediction of the worst, the median and the best frame."""
        return self._worst.pictures()

    def _row(self, frame: SegmentationSample, labels: np.ndarray, score: float) -> np.ndarray:
        image = small(frame.image)
        titles = (f'truth  {frame.name}', f'{frame.name}  IoU {score:.3f}')
        halves = [
            pictures.caption(
                pictures.overlay_classes(image, small(one, True), self._all_names, 0.5), title
            )
            for one, title in zip((frame.labels, labels), titles, strict=True)
        ]
        return np.hstack(halves)


def table(figures: Mapping[str, Any]) -> Table:
    """Figures of a SegmentationEvaluator for people, in percent."""
    scale, decimals = (1, 3) if figures['unit'] == 'percent' else (100, 2)
    rows = [
        (name, tuple(_scaled(values.get(key), scale) for key in _SCORES))
        for name, values in figures['classes'].items()
    ]
    means = _means(figures)
    rows += [
        (name, tuple(_scaled(values.get(key), scale) for key in _SCORES))
        for name, values in means.items()
    ]
    return Table(figures['protocol'], tuple(_SCORES.values()), tuple(rows), decimals)


def _means(figures: Mapping[str, Any], place: str = '') -> dict[str, dict[str, float]]:
    """Scores that belong together, by a name: 'iou_x' and 'dice_x' are the two of 'x'."""
    found: dict[str, dict[str, float]] = {}
    for key, value in figures.items():
        if isinstance(value, dict):
            if key != 'classes':
                found |= _means(value, f'{place}{key} ')
            continue
        score = next((one for one in _SCORES if one in key), None)
        if score:
            rest = key.replace(score, '').strip('_').replace('_', ' ')
            found.setdefault(f'{place}{rest}'.strip() or 'mean', {})[score] = value
    return found


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value
