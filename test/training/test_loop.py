"""The loop itself, with a toy task: resuming, stopping, logs, files, clear errors."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')

from safetensors.torch import load_file  # noqa: E402
from toy_task import ToyRecipe, ToyTask  # noqa: E402

from surgseg_ros.networks.card import read_card  # noqa: E402
from surgseg_ros.registry import Registry  # noqa: E402
from surgseg_ros.training import loop  # noqa: E402
from surgseg_ros.training.determinism import TrainingBatches, validation_batches  # noqa: E402
from surgseg_ros.training.fabric import make_fabric  # noqa: E402
from surgseg_ros.training.recipe import Evaluation, Machine, Optimiser, Schedule, parse  # noqa: E402
from surgseg_ros.training.schedule import learning_rate_factor  # noqa: E402

RECIPE = ToyRecipe(
    task='toy',
    seed=3,
    optimiser=Optimiser(name='adam', learning_rate=0.05, batch_size=4, clip_norm=1.0),
    schedule=Schedule(epochs=4, name='cosine', warmup_steps=2),
    evaluation=Evaluation(metric='accuracy', batch_size=2),
    machine=Machine(accelerator='cpu', save_seconds=0.0),
)


class Killed(BaseException):
    """What no handler catches."""


@pytest.fixture(autouse=True)
def _toy_is_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.tasks, '_TASKS', Registry('task', {'toy': 'toy_task:ToyTask'}))


def change(recipe: ToyRecipe, section: str, **values: Any) -> ToyRecipe:
    return replace(recipe, **{section: replace(getattr(recipe, section), **values)})


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / 'metrics.csv').open() as file:
        found = list(csv.DictReader(file))
    for row in found:
        del row['seconds']
    return found


def stop_at(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let the task's loss be called so many times."""
    original, left = ToyTask.loss, [steps]

    def loss(self: ToyTask, batch: dict[str, Any]) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return original(self, batch)

    monkeypatch.setattr(ToyTask, 'loss', loss)


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('uninterrupted')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.tasks, '_TASKS', Registry('task', {'toy': 'toy_task:ToyTask'}))
        loop.train(RECIPE, folder)
    return folder


def weights(folder: Path, name: str = 'last') -> dict[str, bytes]:
    return {
        key: tensor.numpy().tobytes()
        for key, tensor in load_file(folder / f'{name}.safetensors').items()
    }


@pytest.mark.parametrize('stops', [(1,), (3,), (5, 4), (2, 0, 9)])
def test_a_stopped_run_ends_with_the_weights_of_an_uninterrupted_one(
    stops: tuple[int, ...], uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for steps in stops:
        with monkeypatch.context() as patch:
            stop_at(patch, steps)
            with pytest.raises(Killed):
                loop.train(RECIPE, tmp_path)
    progress = loop.train(RECIPE, tmp_path)
    assert progress.step == 12
    assert weights(tmp_path) == weights(uninterrupted)
    assert weights(tmp_path, 'best') == weights(uninterrupted, 'best')
    assert rows(tmp_path) == rows(uninterrupted)


def test_logs_have_each_epoch_once(uninterrupted: Path) -> None:
    assert [row['epoch'] for row in rows(uninterrupted)] == ['1', '2', '3', '4']
    assert float(rows(uninterrupted)[-1]['counted']) == 5 * 64
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(uninterrupted / 'tensorboard'))
    events.Reload()
    assert [event.step for event in events.Scalars('accuracy')] == [3, 6, 9, 12]
    assert {'train_loss', 'train_logit', 'learning_rate'} <= set(events.Tags()['scalars'])


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    """In a process of its own, as trainings run: by now this one may have threads of DDS, OpenGL
    and OpenVINO, and workers are forked, which libraries with threads do not always survive.
    """
    code = """if True:
        import sys
        from test_loop import *
        loop.tasks._TASKS = Registry('task', {'toy': 'toy_task:ToyTask'})
        for workers in (0, 2):
            loop.train(change(RECIPE, 'machine', workers=workers), Path(sys.argv[1], str(workers)))
    """
    subprocess.run(
        [sys.executable, '-c', code, str(tmp_path)], cwd=Path(__file__).parent, check=True
    )
    assert weights(tmp_path / '0') == weights(tmp_path / '2')


def test_another_seed_gives_other_weights(uninterrupted: Path, tmp_path: Path) -> None:
    loop.train(replace(RECIPE, seed=4), tmp_path)
    assert weights(tmp_path) != weights(uninterrupted)


def test_a_finished_run_stays_finished_unless_started_over(tmp_path: Path) -> None:
    long = change(RECIPE, 'schedule', epochs=2)
    loop.train(long, tmp_path)
    before = (tmp_path / 'state.pt').stat().st_mtime_ns
    assert loop.train(long, tmp_path).ended == 'all 2 epochs are done'
    assert (tmp_path / 'state.pt').stat().st_mtime_ns == before
    short = change(RECIPE, 'schedule', epochs=1)
    with pytest.raises(
        ValueError,
        match='holds a run with schedule.epochs 2, the recipe now says 1: choose another --out',
    ):
        loop.train(short, tmp_path)
    assert loop.train(short, tmp_path, resume=False).step == 3


def test_a_finished_run_goes_on_when_more_epochs_are_asked_for(tmp_path: Path) -> None:
    loop.train(change(RECIPE, 'schedule', epochs=1), tmp_path)
    assert loop.train(RECIPE, tmp_path).step == 12
    assert len(rows(tmp_path)) == 4


def test_a_kill_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / '.state.123.partial.pt').write_bytes(b'half')
    loop.train(change(RECIPE, 'schedule', epochs=1), tmp_path)
    assert not list(tmp_path.glob('.*.partial*'))


def test_cards_say_what_the_weights_are(uninterrupted: Path) -> None:
    card = read_card(uninterrupted / 'best.safetensors')
    assert card is not None
    assert (card.network, card.options, card.class_names) == (
        'toy',
        {'width': 4},
        ('dark', 'bright'),
    )
    again = parse(ToyRecipe, json.loads(json.dumps(card.details['recipe'])))
    assert again == RECIPE
    best = max(rows(uninterrupted), key=lambda row: float(row['accuracy']))
    assert card.details['metrics']['accuracy'] == float(best['accuracy'])
    assert card.details['commit'] == loop.checkpoints.commit()
    text = (uninterrupted / 'best.md').read_text()
    assert text.startswith('# toy\n') and 'accuracy' in text and '"learning_rate": 0.05' in text


def test_training_stops_early_when_nothing_gets_better(tmp_path: Path) -> None:
    still = change(change(RECIPE, 'optimiser', learning_rate=0.0), 'schedule', epochs=30)
    progress = loop.train(change(still, 'evaluation', patience=2, metric='counted'), tmp_path)
    assert progress.ended == 'counted has not got better for 2 epochs'
    assert (len(progress.rows), progress.best) == (3, progress.rows[0])


def test_training_stops_when_the_time_is_up(tmp_path: Path) -> None:
    progress = loop.train(change(RECIPE, 'schedule', max_minutes=0.0), tmp_path)
    assert progress.ended == 'the 0 minutes are over'
    assert progress.step == 1 and (tmp_path / 'best.safetensors').exists()


def test_validation_every_other_epoch(tmp_path: Path) -> None:
    progress = loop.train(
        change(change(RECIPE, 'evaluation', every=2), 'schedule', epochs=3), tmp_path
    )
    assert ['accuracy' in row for row in progress.rows] == [False, True, True]


def test_the_less_the_better(tmp_path: Path) -> None:
    progress = loop.train(change(RECIPE, 'evaluation', mode='min'), tmp_path)
    assert progress.best['accuracy'] == min(row['accuracy'] for row in progress.rows)


@pytest.mark.parametrize('name', ['adamw', 'sgd'])
def test_other_optimisers_and_bfloat16(name: str, tmp_path: Path) -> None:
    recipe = change(change(RECIPE, 'optimiser', name=name), 'machine', precision='bf16-mixed')
    assert loop.train(recipe, tmp_path).rows[-1]['train_loss'] < 0.7


@pytest.mark.parametrize(
    ('section', 'values', 'message'),
    [
        (
            'optimiser',
            {'batch_size': 16},
            '12 training samples do not fill one batch: optimiser.batch_size is 16',
        ),
        ('optimiser', {'batch_size': 1}, 'normalise over the batch, which needs at least 2'),
        (
            'evaluation',
            {'metric': 'mIoU'},
            "evaluation.metric 'mIoU' is none of the metrics of the task toy: accuracy, counted",
        ),
    ],
)
def test_what_does_not_fit_is_said(
    section: str, values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        loop.train(change(RECIPE, section, **values), tmp_path)


def test_layers_in_evaluation_mode_need_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_training(self: ToyTask) -> None:
        self.network.train()
        self.network[1].eval()

    monkeypatch.setattr(ToyTask, 'start_training', start_training)
    single = change(change(RECIPE, 'optimiser', batch_size=1), 'schedule', epochs=2)
    assert loop.train(single, tmp_path).step == 24
    trained = load_file(tmp_path / 'last.safetensors')
    assert not trained['1.running_mean'].any() and trained['1.bias'].any()


@pytest.mark.parametrize(
    ('sizes_differ', 'deterministic', 'benchmark'),
    [(False, False, True), (True, False, False), (False, True, False)],
)
def test_cudnn_compares_its_algorithms_where_all_batches_have_one_size(
    sizes_differ: bool, deterministic: bool, benchmark: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', torch.backends.cudnn.benchmark)
    monkeypatch.setattr(torch, 'use_deterministic_algorithms', lambda *_, **__: None)
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', '')
    monkeypatch.setattr(ToyTask, 'sizes_differ', sizes_differ)
    make_fabric(change(RECIPE, 'machine', deterministic=deterministic))
    assert torch.backends.cudnn.benchmark is benchmark


def test_a_loss_that_is_no_number_ends_training_before_it_is_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='loss became nan before step 3: a smaller'):
        loop.train(replace(RECIPE, fail_at=8), tmp_path)
    state = loop.checkpoints.load_state(tmp_path)
    assert state['progress']['step'] == 2
    assert all(torch.isfinite(tensor).all() for tensor in state['network'].values())


def test_too_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(self: ToyTask, batch: dict[str, Any]) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(ToyTask, 'loss', loss)
    with pytest.raises(ValueError, match='too little memory for optimiser.batch_size 4: choose'):
        loop.train(RECIPE, tmp_path)


def test_processes_share_every_batch() -> None:
    whole = list(TrainingBatches(10, 4, seed=1, epochs=3, start=1))
    shares = [
        list(TrainingBatches(10, 4, seed=1, epochs=3, start=1, rank=rank, processes=2))
        for rank in (0, 1)
    ]
    assert [len(batch) for batch in whole] == [4] * 5 and len(shares[0]) == 5
    assert [epoch for batch in whole for epoch, _ in batch[:1]] == [0, 1, 1, 2, 2]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert sorted(first + second) == sorted(batch)
    with pytest.raises(ValueError, match='batch_size 4 cannot be shared equally by 3 processes'):
        TrainingBatches(10, 4, seed=1, epochs=1, processes=3)
    assert [batch for rank in (0, 1) for batch in validation_batches(5, 2, rank, 2)] == [
        [(0, 0), (0, 1)],
        [(0, 4)],
        [(0, 2), (0, 3)],
    ]


def test_learning_rates() -> None:
    steps = Schedule(epochs=90, name='step', gamma=0.8, every=30)
    factors = [learning_rate_factor(steps, step, 10) for step in (0, 299, 300, 899)]
    assert factors == pytest.approx([1, 1, 0.8, 0.64])
    cosine = Schedule(epochs=10, name='cosine', final=0.1, warmup_steps=4)
    factors = [learning_rate_factor(cosine, step, 4) for step in (0, 3, 20, 40)]
    assert factors == pytest.approx([0.25, 0.9876, 0.55, 0.1], abs=1e-3)
