"""FASSST learns: eight frames of the simulator by heart, through the loop that users run."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
for _package in ('lightning_fabric', 'albumentations', 'pycocotools', 'mujoco'):
    pytest.importorskip(_package, reason=f'training on simulated frames needs {_package}')

from eight_frames import find_again, learn, render, root_of  # noqa: E402

from surgseg_ros.datasets.instances import InstanceDataset  # noqa: E402

STEPS = 80


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return root_of(tmp_path_factory)


@pytest.fixture(scope='module')
def frames(root: Path) -> InstanceDataset:
    return render(root)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('fassst')


@pytest.fixture(scope='module')
def metrics(folder: Path, root: Path, frames: InstanceDataset) -> dict[str, float]:
    """Metrics after training; the weights lie in the folder."""
    network = {'name': 'fassst_small', 'options': {'size': 128}}
    return learn('fassst', root, folder, STEPS, network=network)


@pytest.mark.timeout(900)
def test_eight_frames_are_learnt(metrics: dict[str, float]) -> None:
    assert metrics['step'] == STEPS
    assert metrics['AP50'] > 0.9


def test_the_trained_weights_find_them_again(
    folder: Path, frames: InstanceDataset, metrics: dict[str, float]
) -> None:
    judged = find_again(
        'fassst_small', folder / 'best.safetensors', frames, score_threshold=0.05)
    # the predictor resizes by OpenCV's bilinear filter, the task by areas
    assert judged.ap50 > 0.9
    assert np.isclose(judged.ap, metrics['AP'], atol=0.1)
