"""What is trained, and what it starts from: nothing, ImageNet, an encoder, a whole checkpoint."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from surgseg_ros import networks
from surgseg_ros.frames.foreign import say
from surgseg_ros.networks.bundled import find_weights
from surgseg_ros.networks.card import read_card
from surgseg_ros.networks.checkpoints import load_but
from surgseg_ros.networks.protocols import HasImagenetBackbone
from surgseg_ros.training.encoder import load_encoder

_ENCODERS = ('backbone.', 'pyramid.stages.')  # what imagenet and encoder set


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained, and from which weights.

    Whole `weights` have an encoder: with them, imagenet and encoder are not even read, unless
    weights_but leaves out tensors of it. encoder, weights: files of here, else bundled ones.
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict)  # but num_classes
    imagenet: str | None = None  # torchvision's checkpoint for the encoder; null: random
    encoder: str | None = None  # a checkpoint of LWANet, for its MobileNetV2; null: none
    weights: str | None = None  # a whole checkpoint to start from; null: none
    weights_but: tuple[str, ...] = ()  # prefixes of tensors to leave out, say of other classes


def make_network(
    wanted: Network, options: Mapping[str, object], class_names: tuple[str, ...] = ()
) -> nn.Module:
    """The network with the weights that it shall start from.

    Where these are for other classes, by their card, what depends on the classes starts anew,
    which is said.
    """
    if 'num_classes' in wanted.options:
        raise ValueError('network.options.num_classes is what the data has: leave it out')
    network: Any = networks.create(wanted.name, **options)
    if wanted.weights is None and wanted.weights_but:
        raise ValueError('network.weights_but needs network.weights')
    if _starts_anew(network, wanted):
        _load_encoder(network, wanted)
    if wanted.weights is not None:
        path = find_weights(wanted.weights)
        others = wanted.weights_but or _of_other_classes(path, wanted.name, options, class_names)
        _load(network, path, others)
    return cast(nn.Module, network)


def _of_other_classes(
    path: Path, name: str, options: Mapping[str, Any], class_names: tuple[str, ...]
) -> tuple[str, ...]:
    """Keys of what depends on the classes, if the card of the weights has others; none without."""
    card = read_card(path)
    if card is None or not class_names or card.class_names in ((), class_names):
        return ()
    say(
        f'{path} knows {", ".join(card.class_names[1:])}; the data have '
        f'{", ".join(class_names[1:])}: the last layer is made anew',
        to=sys.stderr,
    )
    with torch.device('meta'):
        shapes = [
            {key: x.shape for key, x in networks.create(name, **changed).state_dict().items()}
            for changed in (options, {**options, 'num_classes': options['num_classes'] + 1})
        ]
    return tuple(key for key, shape in shapes[0].items() if shapes[1][key] != shape)


def _starts_anew(network: nn.Module, wanted: Network) -> bool:
    """Whether any tensor of the encoder is left to `imagenet` and `encoder` by `weights`."""
    return wanted.weights is None or any(
        key.startswith(_ENCODERS) and key.startswith(wanted.weights_but)
        for key in network.state_dict()
    )


def _load_encoder(network: Any, wanted: Network) -> None:
    if wanted.imagenet is not None:
        if not isinstance(network, HasImagenetBackbone):
            raise ValueError(
                f'{wanted.name} has no backbone of ImageNet: network.imagenet must be null'
            )
        network.load_imagenet(Path(wanted.imagenet).expanduser())
    if wanted.encoder is not None:
        load_encoder(network, wanted.name, find_weights(wanted.encoder))


def _load(network: nn.Module, path: Path, but: tuple[str, ...]) -> None:
    """Load a checkpoint strictly, but tensors with these prefixes; say which stay random."""
    left_out = load_but(network, path, but)
    if left_out:
        say(
            f'{path}: all but {len(left_out)} tensors, which start anew: {", ".join(left_out)}',
            to=sys.stderr,
        )
