"""Batches as large as memory takes."""

import copy
import dataclasses
from collections.abc import Callable

import torch
from lightning_fabric import Fabric

from surgseg_ros.training.recipe import Recipe
from surgseg_ros.training.task import Task


def fitting_batch_size(step: Callable[[int], None], most: int) -> int:
    """Largest of most, most / 2, most / 4, ... for which step(size) does not run out of memory.

    step: a whole training step, backwards included, whose results are thrown away. Raises what
    step raises otherwise, and torch.OutOfMemoryError where one sample alone is too much.
    """
    size = most
    while True:
        try:
            step(size)
            return size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        torch.cuda.empty_cache()  # outside the handler, which holds on to the step's tensors
        size //= 2


def fit_memory(recipe: Recipe, task: Task, fabric: Fabric) -> Recipe:
    """The recipe with the largest batch that a training step of the task has memory for.

    Tried are optimiser.batch_size, its half, and so on, each by one step without an optimiser's;
    network and task are as before. Raises ValueError for several processes.
    """
    if fabric.world_size > 1:
        raise ValueError(
            'optimiser.fit_memory is for one process; give each a batch_size that fits'
        )
    network = task.network.to(fabric.device)
    task.start_training()
    before = copy.deepcopy((network.state_dict(), task.state_dict()))

    def step(size: int) -> None:
        batch = task.collate([task.train_samples[0, index] for index in range(size)])
        try:
            with fabric.autocast():
                task.loss(fabric.to_device(batch))['loss'].backward()
        finally:
            network.zero_grad()
            network.load_state_dict(before[0])
            task.load_state_dict(before[1])

    size = fitting_batch_size(step, min(recipe.optimiser.batch_size, len(task.train_samples)))
    return with_batch_size(recipe, size)


def with_batch_size(recipe: Recipe, size: int) -> Recipe:
    """The recipe with batches of this size."""
    return dataclasses.replace(
        recipe, optimiser=dataclasses.replace(recipe.optimiser, batch_size=size)
    )
