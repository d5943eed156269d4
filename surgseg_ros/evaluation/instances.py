"""Average precision of COCO result files, or of a predictor on a dataset."""

from collections.abc import Callable, Sequence
from pathlib import Path

from surgseg_ros.datasets import InstanceDataset
from surgseg_ros.evaluation.evaluators.instances import InstanceEvaluator
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.media.progress import progress
from surgseg_ros.metrics.coco_files import read_json
from surgseg_ros.metrics.instances import InstanceMetrics, average_precision
from surgseg_ros.perception.instances import InstanceStep
from surgseg_ros.predictors.protocols import InstancePredictor
from surgseg_ros.sources.base import stamp_at


def evaluate(predictions: Path, truth: Path) -> InstanceMetrics:
    """Judge a COCO result file by an annotation file; ValueError if one of them is none."""
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
