"""What can be trained, by the name that a recipe calls it. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from surgseg_ros.registry import Registry
from surgseg_ros.training.recipe import Recipe, parse, read_recipe

if TYPE_CHECKING:
    from surgseg_ros.training.task import Task

_TASKS = Registry(
    'task',
    {
        'fassst': 'surgseg_ros.training.instances.fassst:FassstTask',
        'segmentation': 'surgseg_ros.training.segmentation.task:SegmentationTask',
        'solo': 'surgseg_ros.training.instances.solo:SoloTask',
        'surgicalsam': 'surgseg_ros.training.surgicalsam.task:SurgicalSamTask',
    },
)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe; overrides as 'key.path=value'.

    Raises FileNotFoundError, or ValueError with one sentence that names the key.
    """
    content = read_recipe(path, overrides)
    try:
        return parse(task_class(content.get('task')).Recipe, content)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def create(recipe: Recipe) -> 'Task':
    """The task that a recipe describes, its network with fresh weights."""
    return task_class(recipe.task)(recipe)  # type: ignore[call-arg]


def task_class(name: object) -> type['Task']:
    """The class of a task; ValueError with the known names if there is none."""
    found: type[Task] = _TASKS.load(str(name))
    return found
