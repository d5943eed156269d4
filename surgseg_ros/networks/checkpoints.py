"""Read checkpoints without executing them, and say in one sentence why one does not fit."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from surgseg_ros import networks

StateDict = Mapping[str, torch.Tensor]


def load(network: nn.Module, path: Path) -> None:
    """See `networks.load_checkpoint`."""
    tensors = read(path)
    misfit = _misfit(network.state_dict(), tensors)
    if misfit:
        raise ValueError(
            f'{path} does not fit {_name(network.state_dict())}: {misfit}; '
            f'it looks like {_name(tensors)}'
        )
    network.load_state_dict(tensors)


def read(path: Path) -> StateDict:
    """Tensors of a .safetensors file or of a state_dict that torch saved, 'module.' removed."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    tensors = _read_safetensors(path) if path.suffix == '.safetensors' else _read_torch(path)
    return {key.removeprefix('module.'): value for key, value in tensors.items()}


def identify(path: Path) -> str:
    """Name of the registered network whose tensors, keys and shapes, are those of the file.

    Raises FileNotFoundError, or ValueError with one sentence if there is none.
    """
    tensors = read(path)
    name = _name(tensors)
    if name not in networks.available():
        raise ValueError(
            f'{path} fits no registered network ({", ".join(networks.available())}): '
            f'it has {len(tensors)} tensors ({_some(list(tensors))})'
        )
    with torch.device('meta'):
        expected = networks.create(name).state_dict()
    misfit = _misfit(expected, tensors)
    if misfit:
        raise ValueError(f'{path} fits no registered network: it looks like {name}, but {misfit}')
    return name


def convert(path: Path, out: Path, name: str, metadata: Mapping[str, str]) -> None:
    """Load a checkpoint of the network `name` strictly and write it as float32 safetensors."""
    from safetensors.torch import save_file

    network = networks.create(name)
    load(network, path)
    save_file(network.state_dict(), out, metadata=dict(metadata))


def _read_safetensors(path: Path) -> StateDict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f'{path} is not a safetensors file: {error}') from error


def _read_torch(path: Path) -> StateDict:
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # foreign bytes raise anything: UnpicklingError, KeyError, ...
        raise ValueError(
            f'{path} is not a plain state_dict saved by torch, and nothing else is loaded'
        ) from error
    if isinstance(content, dict):
        content = content.get('state_dict', content)
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise ValueError(f'{path} holds no state_dict: expected tensors by their keys')
    return content


def _misfit(expected: StateDict, found: StateDict) -> str:
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
        built = {name: networks.create(name) for name in networks.available()}
    known = {name: _shapes(network.state_dict()) for name, network in built.items()}
    overlap = {name: len(found & its) / len(found | its) for name, its in known.items()}
    best = max(overlap, key=lambda name: overlap[name])
    return best if overlap[best] > 0.5 else 'no registered network'


def _shapes(tensors: StateDict) -> set[tuple[str, torch.Size]]:
    return {(key, value.shape) for key, value in tensors.items()}
