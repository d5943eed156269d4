"""Instances with their truth: in COCO files, of a step on a dataset, or recorded in a bag."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from surgseg_ros.datasets import InstanceDataset, InstanceSample
from surgseg_ros.datasets.endovis17 import TYPES
from surgseg_ros.evaluation.evaluators.instances import InstanceEvaluator
from surgseg_ros.evaluation.recorded import results_by_frame
from surgseg_ros.evaluation.true_instances import sample_of
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.media.progress import progress
from surgseg_ros.metrics.coco_files import read_json
from surgseg_ros.metrics.instances import InstanceMetrics, average_precision
from surgseg_ros.perception.instances import InstanceStep
from surgseg_ros.predictors.protocols import InstancePredictor
from surgseg_ros.rosdata.messages import instance_result
from surgseg_ros.sources.base import stamp_at

TOPIC = '/endoscope/instances'
Judged = tuple[InstanceSample, InstanceResult]


def evaluate(predictions: Path, truth: Path) -> InstanceMetrics:
    """Evaluate a COCO result file with an annotation file; ValueError if one is invalid."""
    return average_precision(read_json(truth), read_json(predictions))


def evaluate_step(
    step: InstanceStep, dataset: InstanceDataset, keep_pictures: bool = False
) -> InstanceEvaluator:
    """Judge a step on a dataset; ValueError if they have other classes."""
    return _evaluate(step, step.class_names, dataset, keep_pictures)


def evaluate_predictor(predictor: InstancePredictor, dataset: InstanceDataset) -> InstanceMetrics:
    """Judge all that a predictor finds, duplicates included, as training's validation does.

    Raises ValueError if predictor and dataset have other classes.
    """
    found = _evaluate(lambda frame: predictor.predict(frame.left), predictor.class_names, dataset)
    return found.metrics()


def recorded(results: Path, truth: Path | None = None, topic: str = TOPIC) -> Iterator[Judged]:
    """Frames of a bag with instances on `topic` and true instances, classes as in TYPES.

    Frames come from `truth` if that is another bag. Raises ValueError where an instance is of a
    class that the truth does not have.
    """
    for frame, result in results_by_frame(results, truth, topic, instance_result):
        if frame.truth is not None and frame.truth.instances is not None:
            yield sample_of(frame.truth, frame.stamp / 1e9, frame.left), _as_types(result)


def _as_types(result: InstanceResult) -> InstanceResult:
    """The result with class ids by the names that EndoVis 2017 has for the same instruments."""
    names = [result.class_names[number] for number in result.class_ids]
    strange = [name for name in names if name not in TYPES]
    if strange:
        raise ValueError(
            f'instances are called {strange[0]!r}, expected one of {", ".join(TYPES[1:])}'
        )
    class_ids = np.array([TYPES.index(name) for name in names], np.int64)
    return replace(result, class_ids=class_ids, class_names=TYPES)


def _evaluate(
    find: Callable[[LeftFrame], InstanceResult],
    class_names: Sequence[str],
    dataset: InstanceDataset,
    keep_pictures: bool = False,
) -> InstanceEvaluator:
    if tuple(class_names) != tuple(dataset.class_names):
        raise ValueError(
            f'the weights are for {_listed(class_names)}, the dataset has '
            f'{_listed(dataset.class_names)}'
        )
    evaluator = InstanceEvaluator(dataset.class_names, keep_pictures)
    samples = (dataset[index] for index in range(len(dataset)))
    for number, sample in enumerate(progress(samples, len(dataset))):
        evaluator.add(sample, find(LeftFrame(stamp_at(number, None), sample.image)))
    return evaluator


def _listed(class_names: Sequence[str]) -> str:
    return f'{len(class_names) - 1} classes ({", ".join(class_names[1:])})'
