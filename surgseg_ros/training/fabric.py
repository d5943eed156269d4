"""The processes of a run: how many there are, and what they tell each other."""

import os
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor

from surgseg_ros.training import tasks
from surgseg_ros.training.recipe import Recipe

_T = TypeVar('_T')


def make_fabric(recipe: Recipe) -> Fabric:
    """Fabric for these processes: torchrun's where it started us, else the recipe's."""
    machine = recipe.machine
    here = int(os.environ.get('LOCAL_WORLD_SIZE', machine.devices))
    everywhere = int(os.environ.get('WORLD_SIZE', here))
    if machine.deterministic:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        torch.use_deterministic_algorithms(True, warn_only=True)
    task = tasks.task_class(recipe.task)
    torch.backends.cudnn.benchmark = not (machine.deterministic or task.sizes_differ)
    strategy = 'auto'
    if everywhere > 1:
        strategy = 'ddp_find_unused_parameters_true' if task.has_unused_parameters else 'ddp'
    try:
        return Fabric(
            accelerator=machine.accelerator,
            devices=here,
            num_nodes=everywhere // here,
            strategy=strategy,
            precision=machine.precision,
        )
    except RuntimeError as error:
        raise ValueError(
            f'machine.accelerator {machine.accelerator!r} with machine.devices '
            f'{here} cannot be had: {error}'
        ) from error


def gather(fabric: Fabric, measurements: list[_T]) -> list[_T]:
    """Measurements of all processes in the order of their batches."""
    processes = fabric.world_size
    if processes == 1:
        return measurements
    shares: list[list[_T]] = [[] for _ in range(processes)]
    torch.distributed.all_gather_object(shares, measurements)
    return [shares[i % processes][i // processes] for i in range(sum(map(len, shares)))]


def mean_of_processes(fabric: Fabric, value: float) -> float:
    """Mean of all processes' values."""
    everywhere = fabric.all_reduce(torch.tensor(value, device=fabric.device))
    assert isinstance(everywhere, Tensor)
    return everywhere.item()
