"""What the tests share in which a network learns eight simulated frames by heart."""

from pathlib import Path
from typing import Any

import pytest
import torch

from surgseg_ros import predictors
from surgseg_ros.datasets.instances import InstanceDataset, open_instances
from surgseg_ros.evaluation.instances import evaluate_predictor
from surgseg_ros.metrics.instances import InstanceMetrics
from surgseg_ros.training import loop, tasks
from surgseg_ros.training.recipe import merge, parse

FRAMES = {
    'split': 'train', 'frames': 8, 'frames_per_scene': 2, 'size': [320, 256], 'tools': [2, 3]}


def root_of(factory: pytest.TempPathFactory) -> Path:
    """Where the frames of all tests of a session lie."""
    return factory.getbasetemp() / 'eight_frames'


def render(root: Path) -> InstanceDataset:
    """The frames, which the first one who asks waits for."""
    return open_instances('simulated', root, **FRAMES, workers=2)


def learn(task: str, root: Path, folder: Path, steps: int, **keys: Any) -> dict[str, float]:
    """Metrics after so many steps on all eight frames, on one thread; weights in `folder`.

    root: where the frames are. keys: sections of the recipe, laid over those that are set here.
    """
    content = merge({
        'task': task,
        'seed': 1,
        'data': {'name': 'simulated', 'root': str(root), 'train': FRAMES, 'val': FRAMES},
        'optimiser': {'name': 'adam', 'learning_rate': 0.003, 'batch_size': 8},
        'schedule': {'epochs': steps, 'name': 'cosine', 'warmup_steps': 5},
        'evaluation': {'metric': 'AP50', 'every': steps, 'batch_size': 8},
        'machine': {'accelerator': 'cpu'},
    }, keys)
    recipe: Any = parse(tasks.task_class(task).Recipe, content)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several that wait for each other on a busy machine take far longer
    try:
        return loop.train(recipe, folder).rows[-1]
    finally:
        torch.set_num_threads(threads)


def find_again(
    network: str, weights: Path, frames: InstanceDataset, **options: Any
) -> InstanceMetrics:
    """Judge the predictor with these weights on the frames."""
    predictor = predictors.create(
        network, weights=weights, backend='torch', device='cpu', **options)
    return evaluate_predictor(predictor, frames)
