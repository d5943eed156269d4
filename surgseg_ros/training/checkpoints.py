"""Files of a run: the state it is resumed from, and the weights that predictors load."""

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from surgseg_ros.media import children
from surgseg_ros.media.files import whole_file
from surgseg_ros.networks.card import Card
from surgseg_ros.training.progress import Row
from surgseg_ros.training.recipe import Recipe
from surgseg_ros.training.task import Task

STATE = 'state.pt'
BEST = 'best.safetensors'
LAST = 'last.safetensors'
_EPOCHS = 'schedule.epochs'


def remove_run(folder: Path) -> None:
    """Remove the files of a run, except its logs."""
    for name in (STATE, BEST, LAST):
        (folder / name).unlink(missing_ok=True)
        (folder / name).with_suffix('.md').unlink(missing_ok=True)


def save_state(folder: Path, state: Mapping[str, object]) -> None:
    """Write the state of a run; whenever it is killed, the one before or this one is whole."""
    with whole_file(folder / STATE) as partial:
        torch.save(dict(state), partial)


def load_state(folder: Path) -> dict[str, Any] | None:
    """The state of the run in this folder, on the CPU; None if there is none."""
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # whatever broken bytes lead to
        raise ValueError(
            f'{path} cannot be read, it is damaged or no state of a run: choose '
            'another --out, or --resume never to start over'
        ) from error
    return state


def check_same_recipe(saved: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """ValueError that names the first key in which two recipes differ, except `machine`.

    More epochs may be asked for than before.
    """
    before, now = _flat(saved), _flat(wanted)
    if now.get(_EPOCHS, 0) > before.get(_EPOCHS, 0):
        before[_EPOCHS] = now[_EPOCHS]
    for key in [*now, *before]:
        if not key.startswith('machine.') and before.get(key) != now.get(key):
            raise ValueError(
                f'{folder} holds a run with {key} {before.get(key)!r}, the recipe now says '
                f'{now.get(key)!r}: choose another --out, or --resume never to start over'
            )


def data_of(task: Task) -> dict[str, object]:
    """What a resumed run has to find as it was: the classes, and how many images there are."""
    return {
        'classes': list(task.class_names),
        'training_samples': len(task.train_samples),
        'validation_samples': len(task.val_samples),
        'images': task.images_digest(),
    }


def check_same_data(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """ValueError that names what has changed in the data of a run: see data_of."""
    words = {
        'classes': 'the classes',
        'training_samples': 'the number of training images or samples',
        'validation_samples': 'the number of validation images or samples',
        'images': 'the images (a digest of their names)',
    }
    for key, what in words.items():
        before, after = saved.get(key), now[key]
        if before is not None and before != after:
            shown = [', '.join(one[1:]) if key == 'classes' else one for one in (before, after)]
            raise ValueError(
                f'{folder} holds a run for which {what} was {shown[0]}, the data now has '
                f'{shown[1]}: choose another --out, or --resume never to start over'
            )


def save_weights(path: Path, task: Task, recipe: Recipe, row: Row) -> None:
    """Write the task's weights as safetensors with a card, and the card as .md beside it."""
    details = {
        'recipe': recipe_dict(recipe),
        'metrics': row,
        'training_samples': len(task.train_samples),
        'validation_samples': len(task.val_samples),
        'commit': commit(),
        **task.details(),
    }
    card = Card(task.network_name, task.network_options, task.class_names, details)
    tensors = {key: value.detach().cpu().contiguous() for key, value in task.weights().items()}
    with whole_file(path) as partial:
        save_file(tensors, partial, metadata=card.metadata())
    with whole_file(path.with_suffix('.md')) as partial:
        partial.write_text(describe(card))


def describe(card: Card) -> str:
    """The card for people, in Markdown."""
    details = dict(card.details)
    metrics, recipe = details.pop('metrics'), details.pop('recipe')
    facts = {'options': dict(card.options), 'classes': ', '.join(card.class_names), **details}
    return '\n'.join(
        [
            f'# {card.network}',
            '',
            *(f'- {name}: {value}' for name, value in facts.items()),
            '',
            '| | |',
            '|---|---|',
            *(f'| {name} | {value:.6g} |' for name, value in metrics.items()),
            '',
            '```json',
            json.dumps(recipe, indent=2),
            '```',
            '',
        ]
    )


def recipe_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON can hold it."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain


@cache
def commit() -> str:
    """The git commit of this code, '+' after it if files differ from it; 'unknown' if none."""
    git = [
        'git',
        '-C',
        str(Path(__file__).parent),
        'describe',
        '--always',
        '--abbrev=40',
        '--exclude=*',
        '--dirty=+',
    ]
    try:
        done = children.run(git)
    except OSError:  # no git
        return 'unknown'
    return 'unknown' if done.returncode else done.stdout.strip()


def _flat(content: object, place: str = '') -> dict[str, Any]:
    if not isinstance(content, dict):
        return {place: content}
    return {
        key: value
        for name, one in content.items()
        for key, value in _flat(one, f'{place}.{name}' if place else str(name)).items()
    }
