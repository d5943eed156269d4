"""Read checkpoints without executing them, and say in one sentence why one does not fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from surgseg_ros import networks
from surgseg_ros.networks import file_kinds, torch_files
from surgseg_ros.networks.card import Card, read_card
from surgseg_ros.networks.protocols import HasOptionalKeys, LeavesOut
from surgseg_ros.networks.state_dicts import StateDict, cleaned


def load(network: nn.Module, path: Path, base: Path | None = None, key: str | None = None) -> None:
    """See `networks.load_checkpoint`."""
    source = str(path) if base is None else f'{path} upon {base}'
    load_tensors(network, read_all(path, base, key), source)


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
    left_out = network.left_out if isinstance(network, LeavesOut) else ()
    tensors = {key: x for key, x in tensors.items() if not key.startswith(left_out)}
    own = network.state_dict()
    optional = network.optional_keys if isinstance(network, HasOptionalKeys) else frozenset()
    tensors = {**{key: own[key] for key in own if key in optional}, **tensors}
    reason = misfit(own, tensors)
    if reason:
        raise ValueError(
            f'{source} does not fit {_name(own)}: {reason}; it looks like {_name(tensors)}'
        )
    network.load_state_dict(tensors)


def read_all(path: Path, base: Path | None, key: str | None = None) -> StateDict:
    """Tensors of `path`, and those parts of the network (first word of the key) only base has."""
    tensors = read(path, key)
    if base is None:
        return tensors
    parts = {key.partition('.')[0] for key in tensors}
    others = {key: x for key, x in read(base).items() if key.partition('.')[0] not in parts}
    return {**others, **tensors}


def read(path: Path, key: str | None = None) -> StateDict:
    """Tensors of a .safetensors file or of one that torch saved, by the network's own keys.

    key: as for networks.load_checkpoint. Raises FileNotFoundError, or ValueError in one sentence.
    """
    file_kinds.check(path)
    reader = _read_safetensors if file_kinds.is_safetensors(path) else torch_files.read
    tensors = reader(path, key)
    _check_finite(path, tensors)
    return tensors


def _check_finite(path: Path, tensors: StateDict) -> None:
    """Raise ValueError where a training has diverged: backends make plausible masks of NaN."""
    broken = {key: x for key, x in tensors.items() if x.is_floating_point() and not _finite(x)}
    if not broken:
        return
    key, worst = next(iter(broken.items()))
    count = int((~torch.isfinite(worst)).sum())
    others = f', and {len(broken) - 1} tensors more' if len(broken) > 1 else ''
    raise ValueError(
        f'{path} has weights that are not finite (NaN or infinity): {count} of the '
        f'{worst.numel()} values of {key}{others}'
    )


def _finite(tensor: torch.Tensor) -> bool:
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())


def identify(path: Path, base: Path | None = None, key: str | None = None) -> 'list[Identity]':
    """Find the registered networks whose tensors, keys and shapes, these are.

    path, base, key: as for networks.load_checkpoint. Several networks may have the same tensors,
    as fassst_416 and fassst_768. Where the file has a card, it is the card's network or none.
    Raises FileNotFoundError, or ValueError with one sentence if there is none.
    """
    tensors, card = read_all(path, base, key), read_card(path)
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


def _misfit_of(name: str, options: Mapping[str, object], tensors: StateDict) -> str:
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
    options: dict[str, object]
    tensors: int


def convert(path: Path, base: Path | None, out: Path, card: Card, key: str | None = None) -> None:
    """Load a checkpoint of the card's network strictly and write it as float32 safetensors."""
    from safetensors.torch import save_file

    network = networks.create(card.network, **card.options)
    load(network, path, base, key)
    save_file(network.state_dict(), out, metadata=card.metadata())


def _read_safetensors(path: Path, key: str | None) -> StateDict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if key is not None:
        raise ValueError(f'{path} is a safetensors file, which holds no weights called {key!r}')
    try:
        return cleaned(load_file(path))
    except SafetensorError as error:
        raise ValueError(f'{path} is not a safetensors file: {error}') from error


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
