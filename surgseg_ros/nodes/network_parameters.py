"""Parameters that every node with a network has, and what they mean to a predictor."""

from typing import Any

from surgseg_ros import backends
from surgseg_ros.frames.sizes import parse_size
from surgseg_ros.networks.bundled import bundled_weights
from surgseg_ros.nodes.parameters import Parameter, Parameters

NETWORK_PARAMETERS = (
    Parameter(
        'backend',
        'auto',
        'what runs a network; auto: torch on a GPU, else the first '
        'of the others that is installed',
        choices=('auto', *backends.available()),
    ),
    Parameter(
        'precision',
        'auto',
        'arithmetic of a network; auto: f32, for bf16 moves results',
        choices=('auto', *backends.PRECISIONS),
    ),
    Parameter('threads', 0, 'CPU threads of a network, 0 all', range=(0, 256)),
    Parameter(
        'image_size',
        '1280x1024',
        'WIDTHxHEIGHT for which a network is prepared while '
        'configuring; another size is prepared when it comes (seconds, and disk: see '
        '`surgseg doctor`)',
    ),
)

LABELLING_PARAMETERS = (  # of networks that say what something is
    Parameter('weights', '', 'its weights; empty takes those that come with the package'),
    Parameter(
        'class_names', [''], 'names by class id, background first, of weights that do not say them'
    ),
    Parameter(
        'overlay_opacity',
        0.5,
        'of the colours over the image in ~/overlay',
        range=(0.0, 1.0),
        live=True,
    ),
)


def network_options(p: Parameters) -> dict[str, Any]:
    """Options of predictors.create."""
    return {'backend': p.backend, 'precision': p.precision, 'threads': p.threads or None}


def labelling_options(p: Parameters) -> dict[str, Any]:
    """Options of predictors.create for the parameter `model` with LABELLING_PARAMETERS."""
    options = {'weights': p.weights or bundled_weights(p.model), **network_options(p)}
    names = tuple(filter(None, p.class_names))
    return {**options, 'class_names': names} if names else options


def image_size(p: Parameters) -> tuple[int, int]:
    """(height, width) to prepare for, px; ValueError if the text is no size."""
    try:
        width, height = parse_size(p.image_size)
    except ValueError as error:
        raise ValueError(f'image_size: {error}') from None
    return height, width
