"""The optimiser that a recipe asks for, and the batches that a network can be trained on."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from surgseg_ros.training.recipe import Optimiser
from surgseg_ros.training.task import Task


def make_optimiser(wanted: Optimiser, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all parameters that require a gradient."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError('no parameter of the network is to be trained')
    rate, decay = wanted.learning_rate, wanted.weight_decay
    if wanted.name == 'sgd':
        return torch.optim.SGD(trained, rate, wanted.momentum, weight_decay=decay)
    kinds = {'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW}
    adam: torch.optim.Optimizer = kinds[wanted.name](trained, rate, weight_decay=decay)
    return adam


def check_batch_normalisation(task: Task, samples: int) -> None:
    """ValueError if batches of one sample meet a layer that normalises over the batch."""
    task.start_training()
    layers = [
        name
        for name, module in task.network.named_modules()
        if isinstance(module, _BatchNorm) and module.training
    ]
    if samples < 2 and layers:
        raise ValueError(
            f'a process trains on {samples} sample at a time, but {layers[0]} and '
            f'{len(layers) - 1} more layers normalise over the batch, which needs at least 2: '
            'set optimiser.batch_size to at least twice the number of processes'
        )
