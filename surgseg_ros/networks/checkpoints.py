"""Read checkpoints without executing them, and say in one sentence why one does not fit."""

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from surgseg_ros import networks
from surgseg_ros.networks.card import Card, read_card

StateDict = Mapping[str, torch.Tensor]
# SurgicalSAM's model_ckp.pth: what it calls the parts, and what they are in the network
_PARTS = {
    'prototype_prompt_encoder_state_dict': 'prototype_prompt_encoder.',
    'sam_decoder_state_dict': 'mask_decoder.',
    'prototypes_state_dict': 'prototypes.',
}


def load(network: nn.Module, path: Path, base: Path | None = None) -> None:
    """See `networks.load_checkpoint`."""
    source = str(path) if base is None else f'{path} upon {base}'
    load_tensors(network, read_all(path, base), source)


def load_but(network: nn.Module, path: Path, prefixes: tuple[str, ...]) -> list[str]:
    """Load strictly all but the tensors with these prefixes, which stay as they are.

    Returns the keys of these. ValueError also where a prefix is that of no tensor.
    """
    own = network.state_dict()
    for prefix in prefixes:
        if not any(key.startswith(prefix) for key in own):
            raise ValueError(
                f'no tensor of the network begins with {prefix!r}; it has {_some(list(own))}'
            )
    kept = {key: x for key, x in own.items() if key.startswith(prefixes)}
    loaded = {key: x for key, x in read(path).items() if not key.startswith(prefixes)}
    load_tensors(network, {**loaded, **kept}, str(path))
    return list(kept)


def load_tensors(network: nn.Module, tensors: StateDict, source: str) -> None:
    """Load strictly; ValueError with one sentence naming the source of what does not fit.

    Only what the network was told to be without, by the prefixes in its `left_out`, is skipped,
    and only its `optional_keys` stay as they are where the source has none of them.
    """
    left_out: tuple[str, ...] = getattr(network, 'left_out', ())
    tensors = {key: x for key, x in tensors.items() if not key.startswith(left_out)}
    own = network.state_dict()
    optional: frozenset[str] = getattr(network, 'optional_keys', frozenset())
    tensors = {**{key: own[key] for key in own if key in optional}, **tensors}
    reason = misfit(own, tensors)
    if reason:
        raise ValueError(
            f'{source} does not fit {_name(own)}: {reason}; it looks like {_name(tensors)}'
        )
    network.load_state_dict(tensors)


def read_all(path: Path, base: Path | None) -> StateDict:
    """Tensors of `path`, and those parts of the network (first word of the key) only base has."""
    tensors = read(path)
    if base is None:
        return tensors
    parts = {key.partition('.')[0] for key in tensors}
    others = {key: x for key, x in read(base).items() if key.partition('.')[0] not in parts}
    return {**others, **tensors}


def read(path: Path) -> StateDict:
    """Tensors of a .safetensors file or of a state_dict that torch saved, 'module.' removed."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    tensors = _read_safetensors(path) if path.suffix == '.safetensors' else _read_torch(path)
    return {key.removeprefix('module.'): value for key, value in tensors.items()}


def identify(path: Path, base: Path | None = None) -> 'list[Identity]':
    """Find the registered networks whose tensors, keys and shapes, these are.

    path, base: as for networks.load_checkpoint. Several networks may have the same tensors, as
    fassst_416 and fassst_768. Where the file has a card, it is the card's network or none.
    Raises FileNotFoundError, or ValueError with one sentence if there is none.
    """
    tensors, card = read_all(path, base), read_card(path)
    names = [card.network] if card else networks.available()
    options = {
        name: {**(card.options if card else {}), **networks.options_of(name, tensors)}
        for name in names
    }
    fitting = [
        Identity(name, chosen, len(tensors))
        for name, chosen in options.items()
        if not _misfit_of(name, chosen, tensors)
    ]
    if not fitting:
        raise ValueError(_why_none(path, tensors))
    return fitting


def _misfit_of(name: str, options: Mapping[str, Any], tensors: StateDict) -> str:
    with torch.device('meta'):
        return misfit(networks.create(name, **options).state_dict(), tensors)


def _why_none(path: Path, tensors: StateDict) -> str:
    """Say in a sentence why these tensors are those of no registered network."""
    name = _name(tensors)
    if name not in networks.available():
        return (
            f'{path} fits no registered network ({", ".join(networks.available())}): '
            f'it has {len(tensors)} tensors ({_some(list(tensors))})'
        )
    reason = _misfit_of(name, networks.options_of(name, tensors), tensors)
    return f'{path} fits no registered network: it looks like {name}' + (
        f', but {reason}' if reason else ', but its card says otherwise'
    )


class Identity(NamedTuple):
    """Name and options of a network, as for networks.create, and how many tensors it has."""

    name: str
    options: dict[str, Any]
    tensors: int


def convert(path: Path, base: Path | None, out: Path, card: Card) -> None:
    """Load a checkpoint of the card's network strictly and write it as float32 safetensors."""
    from safetensors.torch import save_file

    network = networks.create(card.network, **card.options)
    load(network, path, base)
    save_file(network.state_dict(), out, metadata=card.metadata())


def _read_safetensors(path: Path) -> StateDict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f'{path} is not a safetensors file: {error}') from error


def _read_torch(path: Path) -> StateDict:
    try:
        with torch.serialization.safe_globals(_harmless()):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # foreign bytes raise anything: UnpicklingError, KeyError, ...
        foreign = re.search(r'GLOBAL (\S+) was not', str(error))  # so torch says it
        raise ValueError(
            f'{path} is not a plain state_dict saved by torch, and nothing else is loaded'
            + (f': it has a {foreign[1]}' if foreign else '')
        ) from error
    if isinstance(content, dict):
        content = _joined(content.get('state_dict', content))
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise ValueError(f'{path} holds no state_dict: expected tensors by their keys')
    return content


def _harmless() -> list[Any]:
    """What mmdetection and others save beside the tensors, which is no code: numbers and times.

    NumPy 1 and 2 call the makers of their scalars and arrays by different names.
    """
    makers: list[Any] = [np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]]
    return [
        np.ndarray,
        np.dtype,
        *{type(np.dtype(code)) for code in np.typecodes['All']},
        datetime.datetime,
        datetime.date,
        datetime.timedelta,
        *(
            (maker, f'numpy.{core}.multiarray.{maker.__name__}')
            for maker in makers
            for core in ('core', '_core')
        ),
    ]


def _joined(content: Any) -> Any:
    """Return one state_dict of several that SurgicalSAM publishes as one file."""
    if not isinstance(content, dict) or set(content) != set(_PARTS):
        return content
    return {
        prefix + key.removeprefix('module.'): tensor
        for name, prefix in _PARTS.items()
        for key, tensor in content[name].items()
    }


def misfit(expected: StateDict, found: StateDict) -> str:
    """What is missing, unexpected or of another shape; empty if nothing is."""
    shared = expected.keys() & found.keys()
    reshaped = [
        f'{key} {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}'
        for key in expected
        if key in shared and found[key].shape != expected[key].shape
    ]
    kinds = {
        'missing': [key for key in expected if key not in shared],
        'unexpected': [key for key in found if key not in shared],
        'of another shape': reshaped,
    }
    return ', '.join(f'{len(keys)} {kind} ({_some(keys)})' for kind, keys in kinds.items() if keys)


def _some(keys: list[str], most: int = 3) -> str:
    return ', '.join(keys[:most]) + (', ...' if len(keys) > most else '')


def _name(tensors: StateDict) -> str:
    """The registered network that shares most of its tensors (key and shape) with these."""
    found = _shapes(tensors)
    with torch.device('meta'):
        built = {
            name: networks.create(name, **networks.options_of(name, tensors))
            for name in networks.available()
        }
    known = {name: _shapes(network.state_dict()) for name, network in built.items()}
    overlap = {name: len(found & its) / len(found | its) for name, its in known.items()}
    best = max(overlap, key=lambda name: overlap[name])
    return best if overlap[best] > 0.5 else 'no registered network'


def _shapes(tensors: StateDict) -> set[tuple[str, torch.Size]]:
    return {(key, value.shape) for key, value in tensors.items()}
