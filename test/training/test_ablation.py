"""Ablations: every variant with every seed, once; and the table of them."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import REPOSITORY

from surgseg_ros.registry import Registry
from surgseg_ros.training import ablation
from surgseg_ros.training.recipe import parse, read_recipe

CONFIGS = sorted((REPOSITORY / 'config' / 'ablations').glob('*_simulated.yaml'))


def test_table() -> None:
    rows = {
        'plain': [{'AP': 0.25, 'AP50': 0.5}, {'AP': 0.35, 'AP50': 0.5}],
        'other': [{'AP': 1.0, 'AP50': 0.125}],
    }
    assert ablation.compare(rows, ['AP', 'AP50']).splitlines() == [
        '| % | AP | AP50 | seeds |',
        '| --- | --- | --- | --- |',
        '| plain | 30.00 ± 7.07 | 50.00 ± 0.00 | 2 |',
        '| other | 100.00 | 12.50 | 1 |',
    ]
    with pytest.raises(ValueError, match="no run has a metric 'mAP'"):
        ablation.compare(rows, ['AP', 'mAP'])


TWO = 'plain: []\n  slow: [optimiser.learning_rate=0.1]'


def write(folder: Path, variants: str = TWO) -> Path:
    (folder / 'toy.yaml').write_text(
        'task: toy\noptimiser: {learning_rate: 0.5, batch_size: 4}\nschedule: {epochs: 1}\n'
        'evaluation: {metric: accuracy}\nmachine: {accelerator: cpu}\n'
    )
    path = folder / 'toy_ablation.yaml'
    path.write_text(
        f'recipe: toy.yaml\nseeds: [1, 2]\nmetrics: [accuracy]\n'
        f'overrides: [schedule.epochs=2]\nvariants:\n  {variants}\n'
    )
    return path


@pytest.fixture
def _toy_is_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('torch', reason='training needs torch')
    pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
    from surgseg_ros.training import tasks

    monkeypatch.setattr(tasks, '_TASKS', Registry('task', {'toy': 'toy_task:ToyTask'}))


@pytest.mark.usefixtures('_toy_is_a_task')
def test_every_variant_with_every_seed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from surgseg_ros.training import loop

    config, out = write(tmp_path), tmp_path / 'out'
    assert ablation.main([str(config), '--out', str(out)]) == 0
    table = (out / 'results.md').read_text()
    lines = table.splitlines()
    assert len(lines) == 4 and lines[2].startswith('| plain | ') and lines[3].endswith('| 2 |')
    assert capsys.readouterr().out.endswith(table)
    assert len(list(out.glob('variant[01]/seed[12]/best.safetensors'))) == 4

    def no_step(self: object) -> Sequence[float]:
        raise AssertionError('a run that is done was trained again')

    monkeypatch.setattr(loop.TrainingRun, '_train_epoch', no_step)
    assert ablation.main([str(config), '--out', str(out)]) == 0
    assert capsys.readouterr().out.endswith(table)


@pytest.mark.usefixtures('_toy_is_a_task')
def test_a_wrong_variant_is_said_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, 'plain: []\n  odd: [optimiser.learning_rte=0.1]')
    assert ablation.main([str(config), '--out', str(tmp_path / 'out')]) == 2
    assert 'did you mean optimiser.learning_rate?' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_our_ablations_have_right_recipes(path: Path) -> None:
    pytest.importorskip('torch', reason='tasks need torch')
    from surgseg_ros.evaluation import ibr
    from surgseg_ros.training.tasks import load_recipe

    content = read_recipe(path)
    kind = ablation.Ablation if 'metrics' in content else ibr.ClassAblation
    described = parse(kind, content)
    assert len(described.seeds) == 3 and path.read_text().startswith('# ')
    for changes in described.variants.values():
        overrides = getattr(described, 'overrides', ())
        load_recipe(path.parent / described.recipe, [*overrides, *changes])
