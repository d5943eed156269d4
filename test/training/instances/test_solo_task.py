"""The task of SOLO, step by step: what is frozen, sizes, gradients, clear errors."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
for _package in ('lightning_fabric', 'albumentations', 'pycocotools', 'mujoco'):
    pytest.importorskip(_package, reason=f'training on simulated frames needs {_package}')

from conftest import REPOSITORY  # noqa: E402
from eight_frames import FRAMES, render, root_of  # noqa: E402

from surgseg_ros import networks  # noqa: E402
from surgseg_ros.predictors.preprocess import fitted  # noqa: E402
from surgseg_ros.training import tasks  # noqa: E402
from surgseg_ros.training.optimiser import check_batch_normalisation  # noqa: E402

SMALL = REPOSITORY / 'config' / 'train' / 'solo_simulated_small.yaml'


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the eight frames."""
    folder = root_of(tmp_path_factory)
    render(folder)
    return folder


def make_task(root: Path, *overrides: str) -> Any:
    """The task of the small recipe on the eight frames."""
    torch.manual_seed(0)
    return tasks.create(
        tasks.load_recipe(
            SMALL, [f'data.root={root}', f'data.train={FRAMES}', f'data.val={FRAMES}', *overrides]
        )
    )


def batch_of(task: Any, samples: int = 2) -> dict[str, Any]:
    batch: dict[str, Any] = task.collate([task.train_samples[0, i] for i in range(samples)])
    return batch


def test_gradients_reach_every_parameter(root: Path) -> None:
    """Of the attention's gains, too, which start at 0."""
    task = make_task(root, 'network.options.attention=true')
    task._ranges = [(0, 1e9)] * 5  # so that every level has something to find
    task.loss(batch_of(task))['loss'].backward()
    still = [
        name
        for name, parameter in task.network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not still
    assert (task.network.bbox_head.attention.gain == 0).all()


def test_levels_without_instances_have_gradients_too(root: Path) -> None:
    """Else processes that train together would wait for each other."""
    task = make_task(root, 'network.options.attention=true')
    task._ranges = [(1e9, 1e9)] * 5
    losses = task.loss(batch_of(task))
    losses['loss'].backward()
    assert losses['mask'] == 0 and losses['category'] > 0
    assert all(one.grad is not None for one in task.network.parameters())


def test_what_is_frozen_does_not_move(root: Path, tmp_path: Path) -> None:
    torch.save(networks.create('solo_mobilenet', num_classes=7).state_dict(), tmp_path / 'x.pt')
    task = make_task(
        root,
        'backbone.frozen_stages=1',
        'backbone.frozen_norm=true',
        f'network.weights={tmp_path / "x.pt"}',
    )
    task.start_training()
    before = {key: x.clone() for key, x in task.network.state_dict().items()}
    task.loss(batch_of(task))['loss'].backward()
    frozen = {name for name, one in task.network.named_parameters() if one.grad is None}
    assert frozen == {
        name
        for name, _ in task.network.named_parameters()
        if name.startswith(tuple(f'backbone.features.{i}.' for i in range(4)))
    }
    statistics = [key for key in before if 'running' in key]
    now = task.network.state_dict()
    assert statistics and all(torch.equal(before[key], now[key]) for key in statistics)


def test_images_of_several_sizes_are_filled_up(root: Path) -> None:
    task = make_task(root, 'data.short=[100, 70]', 'data.long=500')
    samples = [task.train_samples[0, i] for i in range(8)]
    sizes = {tuple(sample['image'].shape[1:]) for sample in samples}
    assert sizes == {(100, 125), (70, 88)}
    again = [task.train_samples[0, i] for i in range(8)]
    assert all(torch.equal(a['image'], b['image']) for a, b in zip(samples, again, strict=True))
    batch = task.collate(samples)
    assert batch['image'].shape == (8, 3, 128, 128)
    inputs = task._input(batch)
    for image, (height, width) in zip(inputs, batch['contents'].tolist(), strict=True):
        assert not image[:, height:].any() and not image[:, :, width:].any()
        assert image[:, :height, :width].any()


def test_frozen_needs_a_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='what is frozen would stay random: set network.imagenet'):
        make_task(tmp_path, 'backbone.frozen_stages=1')


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ('data.short=[]', 'data.short is empty, expected at least one size in px'),
        ('data.short=[64, 0]', r'data.short\[1\] must be a whole number of at least 1, not 0'),
        ('data.long=0', 'data.long must be a whole number of at least 1, not 0'),
        ('backbone.frozen_stages=5', 'backbone.frozen_stages must be one of 0, 1, 2, 3, 4, not 5'),
        ('loss.mask=-1', 'loss.mask must be a number of at least 0, not -1'),
    ],
)
def test_what_is_out_of_its_range_is_said(setting: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        make_task(tmp_path, setting)


def test_batches_of_one_image_need_frozen_statistics(root: Path, tmp_path: Path) -> None:
    torch.save(networks.create('solo_mobilenet', num_classes=7).state_dict(), tmp_path / 'x.pt')
    start = f'network.weights={tmp_path / "x.pt"}'
    check_batch_normalisation(make_task(root, start, 'backbone.frozen_norm=true'), 1)
    with pytest.raises(ValueError, match='needs at least 2: set optimiser.batch_size'):
        check_batch_normalisation(make_task(root, start, 'backbone.frozen_stages=3'), 1)


def test_other_networks_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match='the task solo trains no fassst_small'):
        make_task(root, 'network={name: fassst_small}')


def test_images_are_fitted_into_the_box_or_the_box_on_its_side() -> None:
    assert fitted(1024, 2048, 800, 1333) == (667, 1333)
    assert fitted(480, 640, 800, 1333) == (800, 1067)
    assert fitted(640, 480, 800, 1333) == (1067, 800)
