"""Recipes: everything that decides a training run, from YAML into frozen dataclasses.

Imports no torch. A task adds its own keys by a subclass of Recipe.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from surgseg_ros.frames.foreign import check_yaml, read_text
from surgseg_ros.media.share import share
from surgseg_ros.networks.checked import Count, Natural, NotNegative, Section, parse

__all__ = ['Count', 'Natural', 'NotNegative', 'Recipe', 'Section', 'merge', 'parse', 'read_recipe']

T = TypeVar('T')


@dataclass(frozen=True, kw_only=True)
class Data:
    """The dataset, and the parts of it."""

    name: str
    root: str
    options: Mapping[str, object] = field(default_factory=dict)  # of the dataset, for both parts
    train: Mapping[str, object] = field(default_factory=lambda: {'split': 'train'})
    val: Mapping[str, object] = field(default_factory=lambda: {'split': 'val'})

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
    """When to validate, which metric decides, and when to stop early."""

    metric: str  # of the task's metrics; decides which weights are kept
    mode: Literal['max', 'min'] = 'max'  # whether a greater or a smaller value is better
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
class Recipe(Section):
    """The keys of every recipe."""

    task: str
    seed: Natural = 0
    optimiser: Optimiser
    schedule: Schedule
    evaluation: Evaluation
    machine: Machine = field(default_factory=Machine)


def find_recipe(name: str) -> Path:
    """The recipe of this path, or the one of this name that comes with the package.

    Raises FileNotFoundError with the nearest name.
    """
    path, folder = Path(name), share() / 'config' / 'train'
    known = {one.stem: one for one in sorted(folder.glob('*.yaml'))}
    if path.is_file():
        return path
    if path.name == name and path.suffix in ('', '.yaml') and path.stem in known:
        return known[path.stem]
    near = get_close_matches(path.stem, known, n=1)
    hint = f'did you mean {near[0]}?' if near else f'known: {", ".join(known)}'
    raise FileNotFoundError(f'there is no recipe {name}; {hint}')


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Read a recipe and lay 'key.path=value' overrides over it; keys are not checked yet.

    A recipe with `base: OTHER.yaml` is that one, beside it, with the keys of this one laid over.
    Raises FileNotFoundError, or ValueError with one sentence.
    """
    content = _read(Path(path))
    for override in overrides:
        _override(content, override)
    return content


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, object]:
    """above: recipes that are laid over this one."""
    if path.resolve() in above:
        raise ValueError(f'{path} is its own base')
    if not path.is_file():
        raise FileNotFoundError(f'there is no recipe {path}')
    text = read_text(path)
    try:
        content = _yaml(text)
    except YAMLError as error:
        raise ValueError(f'{path} is no YAML: {_flaw(error)}') from error
    except ValueError as error:
        raise ValueError(f'{path} is no YAML: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} is no recipe: expected keys with values')
    base = content.pop('base', None)
    if base is None:
        return content
    return merge(_read(path.with_name(str(base)), (*above, path.resolve())), content)


def merge(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Sections merged key by key; values of `above` take precedence."""
    sections = {
        key: merge(lower, value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(lower := below.get(key), dict)
    }
    return {**below, **above, **sections}


def _override(content: dict[str, object], override: str) -> None:
    keys, equals, text = override.partition('=')
    if not equals:
        raise ValueError(f'--set {override} is not of the form key.path=value')
    *sections, last = keys.split('.')
    for section in sections:
        inner = content.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ValueError(f'--set {override}: {section} is no section')
        content = inner
    try:
        content[last] = _yaml(text)
    except YAMLError as error:
        raise ValueError(f'--set {override}: {text} is no YAML') from error


def _flaw(error: YAMLError) -> str:
    if not (isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark):
        return ' '.join(str(error).split())
    return f'{error.problem}, in line {error.problem_mark.line + 1}'


def _yaml(text: str) -> Any:
    """What YAML 1.2 says: 2e-4 is a number, and no key comes twice. YAMLError or ValueError."""
    if '&' in text:
        check_yaml(text)
    try:
        return YAML(typ='safe', pure=True).load(text)
    except RecursionError:
        raise ValueError('it is nested too deeply') from None
