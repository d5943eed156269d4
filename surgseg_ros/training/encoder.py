"""Start a network from the encoder that another one has learnt."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from surgseg_ros import networks
from surgseg_ros.networks.checkpoints import read
from surgseg_ros.networks.protocols import HasMobileNet
from surgseg_ros.networks.specs import NetworkSpec


@torch.no_grad()
def load_encoder(network: nn.Module, name: str, path: Path) -> None:
    """Copy MobileNetV2 from a checkpoint of LWANet into a network registered by this name.

    Blocks that the network has not are left out (its `encoder_blocks` says which there are).
    Raises ValueError with one sentence if the network has no MobileNetV2,
    and what networks.load_checkpoint raises.
    """
    blocks: dict[int, Any] = network.encoder_blocks() if isinstance(network, HasMobileNet) else {}
    if not blocks:
        raise ValueError(f'{name} has no MobileNetV2: network.encoder must be null')
    lwanet: Any = networks.create('lwanet', **networks.options_of('lwanet', read(path)))
    networks.load_checkpoint(lwanet, path)
    learnt = lwanet.encoder_blocks()
    for index, block in blocks.items():
        block.load_state_dict(learnt[index].state_dict())
    if 0 in blocks:
        _normalise_as(networks.spec(name), networks.spec('lwanet'), blocks[0])


def _normalise_as(own: NetworkSpec, before: NetworkSpec, first: Any) -> None:
    """Let the first layer see images normalised for this network as it saw those it learnt from.

    Exact except for the padding around the image.
    """
    mean, std, old_mean, old_std = (
        torch.tensor(values) for values in (own.mean, own.std, before.mean, before.std)
    )
    weight, norm = first[0].weight, first[1]
    norm.running_mean -= weight.sum((2, 3)) @ ((mean - old_mean) / old_std)
    weight *= (std / old_std).view(1, 3, 1, 1)
