"""Recipes: what is wrong in one is said with the key, its place and what was expected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from surgseg_ros.training.recipe import Recipe, Schedule, Section, merge, parse, read_recipe

RECIPES = sorted((Path(__file__).resolve().parents[2] / 'config' / 'train').glob('*.yaml'))


@dataclass(frozen=True, kw_only=True)
class Every(Section):
    """Every kind of field."""

    count: int = 1
    rate: float
    name: str = 'a'
    on: bool = False
    limit: float | None = None
    kind: Literal['x', 'y'] = 'x'
    sizes: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = None


def test_values_and_defaults() -> None:
    content = {
        'rate': 2,
        'limit': None,
        'sizes': [3, 4],
        'options': {'a': [1]},
        'schedule': {'epochs': 5},
    }
    assert parse(Every, content) == Every(
        rate=2.0, sizes=(3, 4), options={'a': [1]}, schedule=Schedule(epochs=5)
    )


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'rate': 1, 'cuont': 2}, r'there is no key cuont; did you mean count\?'),
        ({'rate': 1, 'zzz': 2}, 'there is no key zzz; known: count, rate, name'),
        (
            {'rate': 1, 'schedule': {'epochs': 1, 'gama': 2}},
            r'there is no key schedule.gama; did you mean schedule.gamma\?',
        ),
        ({}, 'the key rate is missing: expected a number'),
        (
            {'rate': 1, 'schedule': {}},
            'the key schedule.epochs is missing: expected a whole number',
        ),
        ({'rate': '1'}, "rate must be a number, not '1'"),
        ({'rate': True}, 'rate must be a number, not True'),
        ({'rate': 1, 'count': 1.0}, 'count must be a whole number, not 1.0'),
        ({'rate': 1, 'count': True}, 'count must be a whole number, not True'),
        ({'rate': 1, 'on': 1}, 'on must be true or false, not 1'),
        ({'rate': 1, 'limit': 'x'}, "limit must be a number or null, not 'x'"),
        ({'rate': 1, 'kind': 'z'}, "kind must be one of x, y, not 'z'"),
        ({'rate': 1, 'sizes': [1, 'b']}, r"sizes\[1\] must be a whole number, not 'b'"),
        ({'rate': 1, 'sizes': 3}, 'sizes must be a list, each a whole number, not 3'),
        ({'rate': 1, 'options': 3}, 'options must be a section with keys, not 3'),
        ({'rate': 1, 'schedule': 3}, 'schedule must be a section with keys or null, not 3'),
        (
            {'rate': 1, 'schedule': {'epochs': 0}},
            'schedule.epochs must be a whole number of at least 1, not 0',
        ),
        (
            {'rate': 1, 'schedule': {'epochs': 1, 'max_minutes': -1}},
            'schedule.max_minutes must be a number of at least 0 or null, not -1',
        ),
        (
            {'rate': 1, 'schedule': {'epochs': 1, 'gamma': float('nan')}},
            'schedule.gamma must be a number of at least 0, not nan',
        ),
        (
            {'rate': 1, 'schedule': {'epochs': 1, 'at': [3, -1]}},
            r'schedule.at\[1\] must be a whole number of at least 0, not -1',
        ),
        ({'rate': None}, 'rate must be a number, not None'),
        ([1], r'a recipe must be a section with keys, not \[1\]'),
    ],
)
def test_every_mistake_is_named(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f'^{message}'):
        parse(Every, content)


@dataclass(frozen=True)
class Part:
    size: int = 1


@dataclass(frozen=True)
class Above(Section):
    part: Part | None = None


def test_a_dataclass_within_knows_its_keys_too() -> None:
    with pytest.raises(ValueError, match=r'no key part.sise; did you mean part.size\?'):
        parse(Above, {'part': {'sise': 2}})


def write(folder: Path, text: str, name: str = 'recipe.yaml') -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_overrides_and_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, 'rate: 2e-4\nschedule: {epochs: 3, every: 7}\n')
    assert read_recipe(path) == {'rate': 2e-4, 'schedule': {'epochs': 3, 'every': 7}}
    changed = read_recipe(path, ['rate=1e3', 'schedule.epochs=5', 'options.a=[1, b]', 'name='])
    assert changed == {
        'rate': 1000.0,
        'schedule': {'epochs': 5, 'every': 7},
        'options': {'a': [1, 'b']},
        'name': None,
    }
    for wrong, message in [
        ('rate', 'not of the form key.path=value'),
        ('rate.x=1', 'rate is no section'),
        ('rate=[', r'--set rate=\[: \[ is no YAML'),
    ]:
        with pytest.raises(ValueError, match=message):
            read_recipe(path, [wrong])


def test_a_recipe_upon_another(tmp_path: Path) -> None:
    write(tmp_path, 'a: 1\nb: {c: 2, d: {e: 3}}\n', 'base.yaml')
    path = write(tmp_path, 'base: base.yaml\nb: {d: {e: 4}, f: 5}\n')
    assert read_recipe(path) == {'a': 1, 'b': {'c': 2, 'd': {'e': 4}, 'f': 5}}
    assert merge({'a': {'b': 1}}, {'a': None}) == {'a': None}


def test_what_is_no_recipe_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='there is no recipe'):
        read_recipe(tmp_path / 'none.yaml')
    with pytest.raises(ValueError, match='is no YAML: .*, in line 2$'):
        read_recipe(write(tmp_path, 'a: [1\n'))
    with pytest.raises(ValueError, match='is no recipe: expected keys'):
        read_recipe(write(tmp_path, '- 1\n'))
    with pytest.raises(ValueError, match='is no YAML: found duplicate key "b" .*, in line 2$'):
        read_recipe(write(tmp_path, 'a: 1\nc: {b: 1, b: 2}\n'))
    write(tmp_path, 'base: recipe.yaml\n', 'other.yaml')
    with pytest.raises(ValueError, match='recipe.yaml is its own base'):
        read_recipe(write(tmp_path, 'base: other.yaml\n'))


def test_numbers_outside_their_range_are_named() -> None:
    content = {
        'task': 'a',
        'optimiser': {'learning_rate': 1, 'batch_size': 2},
        'schedule': {'epochs': 1},
        'evaluation': {'metric': 'a'},
    }
    assert parse(Recipe, merge(content, {'optimiser': {'clip_norm': 1}})).optimiser.clip_norm == 1
    for key, value in [
        ('optimiser.batch_size', 0),
        ('optimiser.clip_norm', -1),
        ('schedule.every', 0),
        ('schedule.warmup_steps', -1),
        ('evaluation.every', 0),
        ('evaluation.batch_size', 0),
        ('evaluation.patience', 0),
        ('machine.devices', 0),
        ('machine.workers', -1),
    ]:
        section, name = key.split('.')
        with pytest.raises(ValueError, match=f'^{key} must be .* of at least .*, not {value}'):
            parse(Recipe, merge(content, {section: {name: value}}))
    with pytest.raises(ValueError, match='^seed must be a whole number of at least 0, not -1'):
        parse(Recipe, {**content, 'seed': -1})


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_our_recipes_are_right_and_say_what_they_are(path: Path) -> None:
    pytest.importorskip('torch', reason='tasks need torch')
    from surgseg_ros.training.tasks import load_recipe

    assert isinstance(load_recipe(path), Recipe)
    assert path.read_text().startswith('# ')
    with pytest.raises(
        ValueError,
        match=r'there is no key optimiser.learning_rte; '
        r'did you mean optimiser.learning_rate\?',
    ):
        load_recipe(path, ['optimiser.learning_rte=1'])
    with pytest.raises(ValueError, match=r"no task is called 'segmentatoin'; .*did you mean segm"):
        load_recipe(path, ['task=segmentatoin'])
