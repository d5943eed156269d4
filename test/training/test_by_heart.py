"""FASSST and SOLO learn eight simulated frames by heart, through the loop that users run."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
for _package in ('lightning_fabric', 'albumentations', 'pycocotools', 'mujoco'):
    pytest.importorskip(_package, reason=f'training on simulated frames needs {_package}')

from eight_frames import FRAMES, render, root_of  # noqa: E402

from surgseg_ros import networks, predictors  # noqa: E402
from surgseg_ros.datasets import InstanceDataset  # noqa: E402
from surgseg_ros.evaluation.instances import evaluate_predictor  # noqa: E402
from surgseg_ros.training import loop, tasks  # noqa: E402
from surgseg_ros.training.recipe import merge, parse  # noqa: E402

STEPS = {'fassst': 80, 'solo': 140}  # far more than either needs, on any machine
RECIPES: dict[str, Any] = {
    'fassst': {'network': {'name': 'fassst_small', 'options': {'size': 128}}},
    'solo': {
        'network': {'name': 'solo_mobilenet', 'options': {'attention': True}},
        'backbone': {'frozen_norm': False, 'frozen_stages': 0},
        'data': {'short': [128], 'long': 160},
        'optimiser': {'clip_norm': 10.0},
        'schedule': {'warmup_steps': 10},
    },
}
LOWEST_SCORES = {'fassst': 0.05, 'solo': 0.1}  # at which validation looks for instances


class Run(NamedTuple):
    """metrics: after the last step. weights: of the best."""

    task: str
    network: str
    metrics: dict[str, float]
    weights: Path
    frames: InstanceDataset


@pytest.fixture(scope='module', params=['fassst', pytest.param('solo', marks=pytest.mark.long)])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root, folder = root_of(tmp_path_factory), tmp_path_factory.mktemp(request.param)
    frames = render(root)
    content = merge(
        {
            'task': request.param,
            'seed': 1,
            'data': {'name': 'simulated', 'root': str(root), 'train': FRAMES, 'val': FRAMES},
            'optimiser': {'name': 'adam', 'learning_rate': 0.003, 'batch_size': 8},
            'schedule': {'epochs': STEPS[request.param], 'name': 'cosine', 'warmup_steps': 5},
            'evaluation': {'metric': 'AP50', 'every': STEPS[request.param], 'batch_size': 8},
            'machine': {'accelerator': 'cpu'},
        },
        RECIPES[request.param],
    )
    recipe: Any = parse(tasks.task_class(request.param).Recipe, content)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several that wait for each other on a busy machine take far longer
    try:
        metrics = loop.train(recipe, folder).rows[-1]
    finally:
        torch.set_num_threads(threads)
    name = content['network']['name']
    return Run(request.param, name, metrics, folder / 'best.safetensors', frames)


@pytest.mark.timeout(3600)
def test_eight_frames_are_learnt(run: Run) -> None:
    assert run.metrics['step'] == STEPS[run.task]
    assert run.metrics['AP50'] > 0.9


def test_the_trained_weights_find_them_again(run: Run) -> None:
    predictor = predictors.create(
        run.network,
        weights=run.weights,
        backend='torch',
        device='cpu',
        score_threshold=LOWEST_SCORES[run.task],
    )
    judged = evaluate_predictor(predictor, run.frames)
    assert judged.ap50 == pytest.approx(run.metrics['AP50'], abs=1e-3)
    assert judged.ap == pytest.approx(run.metrics['AP'], abs=1e-3)


@pytest.mark.long
@pytest.mark.parametrize('run', ['solo'], indirect=True)
def test_training_has_moved_the_attention(run: Run) -> None:
    network = networks.create('solo_mobilenet', num_classes=7, attention=True)
    networks.load_checkpoint(network, run.weights)
    # no instrument is small enough for the first level
    assert (network.bbox_head.attention.gain[1:].abs() > 1e-3).all()
