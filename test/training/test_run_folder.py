"""One run per folder: it is not shared, not lost to a mistake, and read by everybody."""

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')

from toy_task import ToyRecipe, ToyTask  # noqa: E402

from surgseg_ros.registry import Registry  # noqa: E402
from surgseg_ros.training import loop  # noqa: E402
from surgseg_ros.training.batch_size import with_batch_size  # noqa: E402
from surgseg_ros.training.recipe import parse  # noqa: E402


@pytest.fixture(autouse=True)
def _toy_is_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.tasks, '_TASKS', Registry('task', {'toy': 'toy_task:ToyTask'}))


def make_recipe(metric: str = 'accuracy', **optimiser: Any) -> ToyRecipe:
    return parse(
        ToyRecipe,
        {
            'task': 'toy',
            'optimiser': {'learning_rate': 0.05, 'batch_size': 4, **optimiser},
            'schedule': {'epochs': 2},
            'evaluation': {'metric': metric},
            'machine': {'accelerator': 'cpu', 'save_seconds': 0.0},
        },
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob('[!.]*') if path.is_file()}


@pytest.mark.parametrize('wrong', [make_recipe('mIoU'), make_recipe(batch_size=16)])
def test_a_run_is_thrown_away_only_for_one_that_can_begin(
    wrong: ToyRecipe, tmp_path: Path
) -> None:
    loop.train(make_recipe(), tmp_path)
    before = contents(tmp_path)
    assert {'state.pt', 'best.safetensors', 'metrics.csv'} <= before.keys()
    with pytest.raises(ValueError):
        loop.train(wrong, tmp_path, resume=False)
    assert contents(tmp_path) == before


def test_starting_over_leaves_nothing_of_the_run_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.train(make_recipe(), tmp_path)

    def stop(self: ToyTask, batch: dict[str, Any]) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ToyTask, 'loss', stop)
    with pytest.raises(KeyboardInterrupt):
        loop.train(make_recipe(), tmp_path, resume=False)
    assert not contents(tmp_path)


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    half = tmp_path / '.state.1.partial.pt'
    half.write_bytes(b'half')
    code = (
        'from pathlib import Path; from surgseg_ros.media.locks import reserved\n'
        f'with reserved(Path({str(tmp_path)!r})): print("mine", flush=True); input()'
    )
    with subprocess.Popen(
        [sys.executable, '-c', code], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == 'mine\n'
        with pytest.raises(ValueError, match='another process is at work in .*: wait until'):
            loop.train(make_recipe(), tmp_path)
        assert half.exists()
        other.communicate('\n')
    loop.train(make_recipe(), tmp_path)


def test_a_resumed_run_keeps_the_batch_that_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(batch_size=12, fit_memory=True)
    monkeypatch.setattr(loop, 'fit_memory', lambda recipe, *_: with_batch_size(recipe, 4))
    assert loop.train(recipe, tmp_path).step == 6
    monkeypatch.setattr(loop, 'fit_memory', lambda recipe, *_: with_batch_size(recipe, 6))
    assert loop.train(recipe, tmp_path).step == 6
    assert loop.train(recipe, tmp_path, resume=False).step == 4


def test_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        loop.train(make_recipe(), tmp_path)
    finally:
        os.umask(before)
    assert {
        path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.glob('[!.]*.*')
    } == dict.fromkeys(contents(tmp_path), '0o644')


def test_a_damaged_state_is_said(tmp_path: Path) -> None:
    loop.train(make_recipe(), tmp_path)
    whole = (tmp_path / 'state.pt').read_bytes()
    for damaged in (b'', b'hello', whole[: len(whole) // 2]):
        (tmp_path / 'state.pt').write_bytes(damaged)
        with pytest.raises(ValueError, match='state.pt cannot be read, it is damaged'):
            loop.train(make_recipe(), tmp_path)


def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    recipe = make_recipe()
    recipe = replace(recipe, machine=replace(recipe.machine, accelerator='cuda'))
    with pytest.raises(ValueError, match="machine.accelerator 'cuda' with machine.devices 1 cann"):
        loop.train(recipe, tmp_path)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (
            {'class_names': ('dark', 'shiny')},
            'holds a run for which the classes was bright, the data now has shiny: choose another',
        ),
        (
            {'images_digest': lambda self: 'other'},
            'for which the images .a digest of their names. was .*, the data now has other',
        ),
    ],
)
def test_a_run_does_not_go_on_with_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setattr(ToyTask, 'images_digest', lambda self: 'digest')
    loop.train(make_recipe(), tmp_path)
    before = contents(tmp_path)
    for name, value in change.items():
        monkeypatch.setattr(ToyTask, name, value)
    with pytest.raises(ValueError, match=sentence):
        loop.train(make_recipe(), tmp_path)
    assert contents(tmp_path) == before


def test_fewer_images_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.train(make_recipe(), tmp_path)
    made = ToyTask.__init__

    def with_fewer(self: ToyTask, recipe: ToyRecipe) -> None:
        made(self, replace(recipe, samples=8))

    monkeypatch.setattr(ToyTask, '__init__', with_fewer)
    with pytest.raises(ValueError, match='of training images or samples was 12, .* now has 8'):
        loop.train(make_recipe(), tmp_path)


def test_a_finished_run_goes_on_where_more_epochs_are_asked_for(tmp_path: Path) -> None:
    recipe = make_recipe()
    longer = replace(recipe, schedule=replace(recipe.schedule, epochs=3))
    assert len(loop.train(recipe, tmp_path / 'short').rows) == 2
    assert len(loop.train(longer, tmp_path / 'short').rows) == 3
    loop.train(longer, tmp_path / 'whole')
    weights = [(tmp_path / name / 'state.pt') for name in ('short', 'whole')]
    short, whole = (torch.load(path, weights_only=True)['network'] for path in weights)
    assert all(torch.equal(short[key], whole[key]) for key in whole)
    with pytest.raises(ValueError, match=r'run with schedule.epochs 3, the recipe now says 2'):
        loop.train(recipe, tmp_path / 'short')
