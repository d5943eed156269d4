"""Recipes: everything that decides a training run, from YAML into frozen dataclasses.

Imports no torch. A task adds its own keys by a subclass of Recipe.
"""

import dataclasses
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

T = TypeVar('T')


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: 2e-4 is one, which PyYAML takes for a text. No key comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [str(key.value) for key, _ in node.value]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(
                None, None, f'the key {twice} comes twice', node.start_mark
            )
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$'),
    list('-+.0123456789'),
)


@dataclass(frozen=True)
class AtLeast:
    """The smallest value that a number may have."""

    value: int


Count = Annotated[int, AtLeast(1)]
Natural = Annotated[int, AtLeast(0)]
NotNegative = Annotated[float, AtLeast(0)]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which dataset, and what of it."""

    name: str
    root: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of the dataset, for both parts
    train: Mapping[str, Any] = field(default_factory=lambda: {'split': 'train'})
    val: Mapping[str, Any] = field(default_factory=lambda: {'split': 'val'})

    def opened(self, open_split: Callable[..., T]) -> tuple[T, T]:
        """What to train on and what to validate on, by datasets.open_dataset or its like.

        Raises what that raises, and ValueError where there is no split.
        """
        parts = [{**self.options, **part} for part in (self.train, self.val)]
        for name, part in zip(('train', 'val'), parts, strict=True):
            if 'split' not in part:
                raise ValueError(f'the key data.{name}.split is missing: expected a text')
        train, val = (
            open_split(self.name, Path(self.root).expanduser(), **part) for part in parts
        )
        return train, val


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Which optimiser, over which batches."""

    name: Literal['adam', 'adamw', 'sgd'] = 'adam'
    learning_rate: NotNegative
    weight_decay: NotNegative = 0.0
    momentum: NotNegative = 0.9  # of sgd
    batch_size: Count  # over all processes together
    fit_memory: bool = False  # halve batch_size until a step fits into memory
    clip_norm: NotNegative | None = None  # largest norm of the gradient; null: any


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate changes, and when training ends."""

    epochs: Count
    name: Literal['constant', 'step', 'cosine'] = 'constant'
    gamma: NotNegative = 0.8  # step: the factor ...
    every: Count = 30  # ... after so many epochs each, or ...
    at: tuple[Natural, ...] = ()  # ... after these, if there are any
    final: NotNegative = 0.0  # cosine: factor at the end
    warmup_steps: Natural = 0  # linear ...
    warmup_start: NotNegative = 0.0  # ... from this factor
    max_minutes: NotNegative | None = None  # of training, resumed runs together; null: no limit


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """When to validate, what is best, and when it no longer gets better."""

    metric: str  # of the task's metrics; decides which weights are kept
    mode: Literal['max', 'min'] = 'max'  # is more of it better, or less?
    every: Count = 1  # epochs
    batch_size: Count = 1
    patience: Count | None = None  # stop after so many epochs without a better one


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it runs. A resumed run may differ in these keys only."""

    accelerator: str = 'auto'  # cpu, cuda, ...
    devices: Count = 1  # processes on this machine; torchrun decides instead
    precision: Literal['32-true', '16-mixed', 'bf16-mixed'] = '32-true'
    workers: Natural = 0  # processes that prepare samples; 0: none
    save_seconds: NotNegative = 60.0  # training lost at most when killed
    deterministic: bool = False  # on a GPU: the same bits every time, slower


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The keys of every recipe."""

    task: str
    seed: Natural = 0
    optimiser: Optimiser
    schedule: Schedule
    evaluation: Evaluation
    machine: Machine = field(default_factory=Machine)


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe and lay 'key.path=value' overrides over it; keys are not checked yet.

    A recipe with `base: OTHER.yaml` is that one, beside it, with the keys of this one laid over.
    Raises FileNotFoundError, or ValueError with one sentence.
    """
    content = _read(Path(path))
    for override in overrides:
        _override(content, override)
    return content


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """above: recipes that are laid over this one."""
    if path.resolve() in above:
        raise ValueError(f'{path} is its own base')
    if not path.is_file():
        raise FileNotFoundError(f'there is no recipe {path}')
    try:
        content = yaml.load(path.read_text(), _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is no YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} is no recipe: expected keys with values')
    base = content.pop('base', None)
    if base is None:
        return content
    return merge(_read(path.with_name(str(base)), (*above, path.resolve())), content)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Sections merged key by key; where both have a value, that of `above` counts."""
    sections = {
        key: merge(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **sections}


def _override(content: dict[str, Any], override: str) -> None:
    keys, equals, text = override.partition('=')
    if not equals:
        raise ValueError(f'--set {override} is not of the form key.path=value')
    *sections, last = keys.split('.')
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ValueError(f'--set {override}: {section} is no section')
    try:
        content[last] = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f'--set {override}: {text} is no YAML') from error


def parse(kind: type[T], content: Any, place: str = '') -> T:
    """Make the dataclass `kind` of nested mappings; `place` is where they stand, for errors.

    Field types may be numbers, str, bool, Literal, | None, tuple[X, ...], Mapping[str, X],
    dataclasses and numbers Annotated by AtLeast. An int passes as a float, nothing else is
    converted. Raises ValueError with one sentence that names the key, what was expected and the
    nearest known key.
    """
    if not isinstance(content, dict):
        raise ValueError(f'{place or "a recipe"} must be a section with keys, not {content!r}')
    hints = get_type_hints(kind, include_extras=True)
    fields = {one.name: one for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in content:
        if key not in fields:
            raise ValueError(_unknown(str(key), place, list(fields)))
    missing = [name for name, one in fields.items() if name not in content and _required(one)]
    if missing:
        raise ValueError(
            f'the key {_join(place, missing[0])} is missing: '
            f'expected {describe(hints[missing[0]])}'
        )
    return kind(
        **{key: _convert(hints[key], value, _join(place, key)) for key, value in content.items()}
    )


def _convert(kind: Any, value: Any, place: str) -> Any:
    """`value` as the type `kind`, or a ValueError."""
    if dataclasses.is_dataclass(kind):
        return parse(kind, value, place)  # type: ignore[arg-type]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = next(one for one in arguments if one is not type(None))
        if isinstance(value, dict | list) or _fits(inner, value):
            return _convert(inner, value, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(arguments[0], one, f'{place}[{i}]') for i, one in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {key: _convert(arguments[1], one, _join(place, key)) for key, one in value.items()}
    if _fits(kind, value):
        return float(value) if kind in (float, NotNegative) else value
    raise ValueError(f'{place} must be {describe(kind)}, not {value!r}')


def _fits(kind: Any, value: Any) -> bool:
    if kind is Any:
        return True
    if get_origin(kind) is Annotated:
        number, least = get_args(kind)
        return _fits(number, value) and value >= least.value
    if get_origin(kind) is Literal:
        return value in get_args(kind) and type(value) is type(get_args(kind)[0])
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def describe(kind: Any) -> str:
    """A field's type in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return ' or '.join(describe(one) for one in arguments)
    if origin is Literal:
        return 'one of ' + ', '.join(map(str, arguments))
    if origin is Annotated:
        return f'{describe(arguments[0])} of at least {arguments[1].value}'
    if origin is tuple:
        return f'a list, each {describe(arguments[0])}'
    if origin is Mapping or dataclasses.is_dataclass(kind):
        return 'a section with keys'
    words = {
        int: 'a whole number',
        float: 'a number',
        str: 'a text',
        bool: 'true or false',
        type(None): 'null',
        Any: 'any value',
    }
    return words.get(kind, str(kind))


def _unknown(key: str, place: str, known: list[str]) -> str:
    near = get_close_matches(key, known, n=1)
    hint = f'did you mean {_join(place, near[0])}?' if near else f'known: {", ".join(known)}'
    return f'there is no key {_join(place, key)}; {hint}'


def _required(one: dataclasses.Field) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _join(place: str, key: str) -> str:
    return f'{place}.{key}' if place else str(key)
