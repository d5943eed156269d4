"""Parameters of nodes with a network, in addition to the settings of their step."""

from surgseg_ros.frames.sizes import parse_size
from surgseg_ros.nodes.parameters import Parameter, Parameters

IMAGE_SIZE = Parameter(
    'image_size',
    '1280x1024',
    'WIDTHxHEIGHT for which a network is prepared while configuring; another size is prepared '
    'when it arrives (takes seconds and disk space: see `surgseg doctor`)',
)
OVERLAY_OPACITY = Parameter(
    'overlay_opacity',
    0.5,
    'opacity of the colours over the image in ~/overlay',
    range=(0.0, 1.0),
    live=True,
)


def image_size(p: Parameters) -> tuple[int, int]:
    """(height, width) to prepare for, px; ValueError if the text is no size."""
    try:
        width, height = parse_size(p.image_size)
    except ValueError as error:
        raise ValueError(f'image_size: {error}') from None
    return height, width
