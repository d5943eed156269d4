"""Parameters that every node with a network has, and what they mean to a predictor."""

import re
from typing import Any

from surgseg_ros import backends
from surgseg_ros.nodes.parameters import Parameter, Parameters

NETWORK_PARAMETERS = (
    Parameter('backend', 'auto', 'what runs a network; auto: torch on a GPU, else the first '
              'of the others that is installed', choices=('auto', *backends.available())),
    Parameter('precision', 'auto', 'arithmetic of a network; auto: f32, for bf16 moves results',
              choices=('auto', *backends.PRECISIONS)),
    Parameter('threads', 0, 'CPU threads of a network, 0 all', range=(0, 256)),
    Parameter('image_size', '1280x1024', 'WIDTHxHEIGHT for which a network is prepared while '
              'configuring; another size is prepared when it comes (seconds)'),
)


def network_options(p: Parameters) -> dict[str, Any]:
    """Options of predictors.create."""
    return {'backend': p.backend, 'precision': p.precision, 'threads': p.threads or None}


def image_size(p: Parameters) -> tuple[int, int]:
    """(height, width) to prepare for, px; ValueError if the text is no size."""
    match = re.fullmatch(r'(\d+)x(\d+)', p.image_size)
    if not match:
        raise ValueError(
            f'image_size is "{p.image_size}", expected WIDTHxHEIGHT such as 1280x1024')
    return int(match[2]), int(match[1])
