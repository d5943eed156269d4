"""Average precision of COCO result files, or of a predictor on a dataset."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surgseg_ros.datasets import InstanceDataset
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.media.progress import progress
from surgseg_ros.metrics.instances import InstanceMetrics, average_precision, coco_truth, records
from surgseg_ros.perception.instances import InstanceStep
from surgseg_ros.sources.base import stamp_at


def evaluate(predictions: Path, truth: Path) -> InstanceMetrics:
    """Judge a COCO result file by an annotation file; ValueError if one of them is none."""
    return average_precision(_read(truth), _read(predictions))


def evaluate_step(step: InstanceStep, dataset: InstanceDataset) -> InstanceMetrics:
    """Judge a step on a dataset; ValueError if they have other classes."""
    return _evaluate(step, step.class_names, dataset)


def evaluate_predictor(predictor: Any, dataset: InstanceDataset) -> InstanceMetrics:
    """Judge all that a predictor finds, duplicates included, as training's validation does.

    Raises ValueError if predictor and dataset have other classes.
    """
    return _evaluate(lambda frame: predictor.predict(frame.left), predictor.class_names, dataset)


def _evaluate(
    find: Callable[[LeftFrame], InstanceResult],
    class_names: Sequence[str],
    dataset: InstanceDataset,
) -> InstanceMetrics:
    if tuple(class_names) != tuple(dataset.class_names):
        raise ValueError(
            f'the weights are for {_listed(class_names)}, the dataset has '
            f'{_listed(dataset.class_names)}'
        )
    sizes, truth, found = [], [], []
    samples = (dataset[index] for index in range(len(dataset)))
    for number, sample in enumerate(progress(samples, len(dataset)), 1):
        result = find(LeftFrame(stamp_at(number - 1, None), sample.image))
        sizes.append((sample.image.shape[0], sample.image.shape[1]))
        truth += sample.annotations(number)
        found += records(number, result.class_ids, result.masks, result.scores)
    return average_precision(coco_truth(sizes, truth, dataset.class_names), found)


def table(metrics: InstanceMetrics) -> str:
    """Format metrics for a terminal, as COCO names them; n/a where the truth has none."""
    titles = ('AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L')
    head = ''.join(f'{title:>8}' for title in titles)
    values = (f'{value:.4f}' if value == value else 'n/a' for value in asdict(metrics).values())
    return head + '\n' + ''.join(f'{value:>8}' for value in values)


def _listed(class_names: Sequence[str]) -> str:
    return f'{len(class_names) - 1} classes ({", ".join(class_names[1:])})'


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f'there is no file {path}')
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
