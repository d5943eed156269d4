"""LWANet learns: eight frames by heart, after kill -9, in two processes; as users run it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import REPOSITORY

torch = pytest.importorskip('torch', reason='training needs torch')
for _package in ('lightning_fabric', 'albumentations', 'mujoco'):
    pytest.importorskip(_package, reason=f'training on simulated frames needs {_package}')

from safetensors.torch import load_file  # noqa: E402

from surgseg_ros import datasets, predictors  # noqa: E402
from surgseg_ros.metrics.segmentation import ConfusionMatrix, mean_over_classes  # noqa: E402
from surgseg_ros.networks.card import read_card  # noqa: E402
from surgseg_ros.training import checkpoints  # noqa: E402

SMALL = REPOSITORY / 'config' / 'train' / 'lwanet_simulated_small.yaml'
EIGHT = '{split: train, frames: 8, frames_per_scene: 1, tools: [2, 3]}'


def overrides(root: Path, width: int, height: int, **more: object) -> list[str]:
    """Eight frames of this size to train and to validate."""
    return [f'data.root={root}', f'data.options.size=[{width}, {height}]', f'data.width={width}',
            f'data.height={height}', f'data.train={EIGHT}', f'data.val={EIGHT}',
            *(f'{key}={value}' for key, value in more.items())]


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the frames are rendered."""
    return tmp_path_factory.mktemp('frames')


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # two on a busy machine wait for each other


def found_again(weights: Path, root: Path, width: int, height: int) -> float:
    """mIoU of the predictor with these weights on the eight frames."""
    predictor = predictors.create('lwanet', weights=weights, backend='torch', device='cpu')
    frames = datasets.open_dataset('simulated', root, 'train', frames=8, frames_per_scene=1,
                                   tools=(2, 3), size=(width, height))
    matrix = ConfusionMatrix(len(frames.class_names))
    for _, image, labels in frames:
        matrix.add(predictor.predict(image).labels, labels)
    assert predictor.class_names == frames.class_names
    return mean_over_classes(matrix.iou)


# -- processes, as users start them


def command(out: Path, arguments: Sequence[str], launcher: Sequence[str] = ()) -> list[str]:
    settings = [word for one in arguments for word in ('--set', one)]
    return [sys.executable, *launcher, '-m', 'surgseg_ros.cli', 'train', str(SMALL),
            '--out', str(out), *settings]


def environment() -> dict[str, str]:
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPOSITORY)}


def run(words: Sequence[str]) -> str:
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def saved_step(out: Path) -> int:
    state = checkpoints.load_state(out)
    return state['progress']['step'] if state else 0


def kill_at(step: int, out: Path, words: Sequence[str]) -> None:
    """Start a training, and kill -9 it once the state of this step is saved."""
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 200
        while saved_step(out) < step:
            assert process.poll() is None, 'training ended before it was killed'
            assert time.monotonic() < deadline, 'training has not come so far'
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(600)
def test_killed_in_mid_epoch_it_ends_with_the_same_weights(root: Path, tmp_path: Path) -> None:
    """24 steps in 3 epochs; a state at every step instead of every 60 s."""
    arguments = overrides(root, 96, 64, **{
        'optimiser.batch_size': 2, 'schedule.epochs': 3, 'machine.save_seconds': 0,
        'data.train.frames': 16})
    run(command(tmp_path / 'whole', arguments))
    words = command(tmp_path / 'killed', arguments)
    kill_at(10, tmp_path / 'killed', words)
    assert saved_step(tmp_path / 'killed') % 8, 'it was to be killed in mid-epoch'
    assert 'all 3 epochs are done' in run(words)
    for name in ('last', 'best'):
        whole, killed = (load_file(tmp_path / one / f'{name}.safetensors')
                         for one in ('whole', 'killed'))
        assert whole.keys() == killed.keys()
        assert all(torch.equal(whole[key], killed[key]) for key in whole)


@pytest.mark.timeout(600)
def test_two_processes_train_and_validate_together(root: Path, tmp_path: Path) -> None:
    arguments = overrides(root, 96, 64, **{
        'optimiser.batch_size': 4, 'schedule.epochs': 2, 'evaluation.batch_size': 3,
        'schedule.warmup_steps': 0})
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    printed = run(command(tmp_path, arguments, torchrun))
    assert printed.count('epoch 2/2') == 1  # one process speaks
    card = read_card(tmp_path / 'last.safetensors')
    assert card is not None and card.details['metrics']['step'] == 4
    judged = found_again(tmp_path / 'last.safetensors', root, 96, 64)
    assert judged == pytest.approx(card.details['metrics']['mIoU'], abs=2e-3)
