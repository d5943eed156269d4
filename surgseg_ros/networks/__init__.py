"""The published networks by name. Importing this imports no torch; create() does.

A new network is one file here with a class that has `forward` (as published, for training) and
`infer` (the tensors that a predictor needs), and one entry in `_SPECS`.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgseg_ros.networks.specs import Checkpoint, NetworkSpec

if TYPE_CHECKING:
    from torch import nn


def _msdesis(encoder: str, tensors: int, parameters: int) -> NetworkSpec:
    folders = {
        'phase_1/disparity': 'FlyingThings3D',
        'phase_2/disparity': 'SCARED key frames, from phase 1',
        'phase_2/multitask': 'RIS 2017 stereo, disparity unsupervised, from phase 1',
        'phase_2/segmentation': 'RIS 2017 monocular, from phase 1',
    }
    return NetworkSpec(
        constructor='surgseg_ros.networks.msdesis:Msdesis',
        arguments={'encoder': encoder},
        # the authors infer and evaluate with the statistics of SCARED, on RIS 2017 too
        mean=(0.5339, 0.3666, 0.4537),
        std=(0.2006, 0.1978, 0.2128),
        multiple=32,
        tensors=tensors,
        parameters=parameters,
        class_names=('tissue', 'tool'),
        paper='Psychogyios et al., MSDESIS, IEEE TMI 2022, doi:10.1109/TMI.2022.3181229',
        homepage='https://github.com/dimitrisPs/msdesis',
        licence='MIT',
        checkpoints=tuple(
            Checkpoint(f'{folder}/{encoder}.pt', training) for folder, training in folders.items()
        ),
    )


_SPECS = {
    'msdesis_light': _msdesis('light', tensors=328, parameters=3_295_829),
    'msdesis_resnet34': _msdesis('resnet34', tensors=484, parameters=29_487_861),
}


def available() -> list[str]:
    """Names that create() knows."""
    return sorted(_SPECS)


def spec(name: str) -> NetworkSpec:
    """What is known about the network `name`; ValueError with the known names if there is none."""
    if name not in _SPECS:
        raise ValueError(f'no network is called {name!r}; known: {", ".join(available())}')
    return _SPECS[name]


def create(name: str, **options: Any) -> 'nn.Module':
    """Build the network `name`, float32, with random weights, in training mode.

    options: those of its class, such as mode='disparity'. Raises ValueError for an unknown name,
    TypeError for an unknown option.
    """
    known = spec(name)
    module, _, attribute = known.constructor.partition(':')
    return getattr(import_module(module), attribute)(**known.arguments, **options)


def load_checkpoint(network: 'nn.Module', path: str | Path) -> None:
    """Load weights strictly: every tensor of the network must be in the file, and no other.

    path: a .safetensors file or a plain state_dict saved by torch (.pt, .pth), bare or under
    'state_dict', with or without the 'module.' prefix of DataParallel; no pickled code is ever
    executed. Raises FileNotFoundError, or ValueError with one sentence that says what does not
    fit and which registered network the file looks like.
    """
    from surgseg_ros.networks.checkpoints import load

    load(network, Path(path))
