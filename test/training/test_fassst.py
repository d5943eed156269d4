"""FASSST learns: eight frames of the simulator by heart, through the loop that users run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
for _package in ('lightning_fabric', 'albumentations', 'pycocotools', 'mujoco'):
    pytest.importorskip(_package, reason=f'training on simulated frames needs {_package}')

from surgseg_ros import predictors  # noqa: E402
from surgseg_ros.datasets.instances import InstanceDataset, open_instances  # noqa: E402
from surgseg_ros.metrics.instances import average_precision, coco_truth, records  # noqa: E402
from surgseg_ros.training import loop, tasks  # noqa: E402
from surgseg_ros.training.recipe import parse  # noqa: E402

STEPS = 80
FRAMES = {
    'split': 'train', 'frames': 8, 'frames_per_scene': 2, 'size': [320, 256], 'tools': [2, 3]}


def recipe(root: Path) -> Any:
    return parse(tasks.task_class('fassst').Recipe, {
        'task': 'fassst',
        'seed': 1,
        'network': {'name': 'fassst_small', 'options': {'size': 128}},
        'data': {'name': 'simulated', 'root': str(root), 'train': FRAMES, 'val': FRAMES},
        'optimiser': {'name': 'adam', 'learning_rate': 0.003, 'batch_size': 8},
        'schedule': {'epochs': STEPS, 'name': 'cosine', 'warmup_steps': 5},
        'evaluation': {'metric': 'AP50', 'every': STEPS, 'batch_size': 8},
        'machine': {'accelerator': 'cpu'},
    })


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('fassst')


@pytest.fixture(scope='module')
def frames(folder: Path) -> InstanceDataset:
    return open_instances('simulated', folder / 'frames', **FRAMES, workers=2)


@pytest.fixture(scope='module')
def metrics(folder: Path, frames: InstanceDataset) -> dict[str, float]:
    """Metrics after training; the weights lie in the folder `run`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several that wait for each other on a busy machine take far longer
    try:
        return loop.train(recipe(folder / 'frames'), folder / 'run').rows[-1]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.timeout(900)
def test_eight_frames_are_learnt(metrics: dict[str, float]) -> None:
    assert metrics['step'] == STEPS
    assert metrics['AP50'] > 0.9


def test_the_trained_weights_find_them_again(
    folder: Path, frames: InstanceDataset, metrics: dict[str, float]
) -> None:
    predictor = predictors.create(
        'fassst_small', weights=folder / 'run' / 'best.safetensors', backend='torch', device='cpu',
        score_threshold=0.05)
    truth, found = [], []
    for number, (_, image, class_ids, masks) in enumerate(frames, 1):
        result = predictor.predict(image)
        assert result.masks.shape[1:] == image.shape[:2] and result.masks.dtype == bool
        truth += records(number, class_ids, masks)
        found += records(number, result.class_ids, result.masks, result.scores)
    assert predictor.class_names == frames.class_names
    sizes = [image.shape[:2] for _, image, _, _ in frames]
    judged = average_precision(coco_truth(sizes, truth, frames.class_names), found)
    # the predictor resizes by OpenCV's bilinear filter, the task by areas
    assert judged.ap50 > 0.9
    assert np.isclose(judged.ap, metrics['AP'], atol=0.1)
