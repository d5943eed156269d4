"""Arguments that every pipeline has: what the topics of the camera are called, and hold."""

from collections.abc import Mapping
from typing import Any

_EYES = ('left', 'right')
_IMAGES = ('image_rect', 'image_raw')
HELP = {
    'left': 'topic of the left image, of the camera or in the bag; empty: left/image_rect (with '
    'rectify, image_raw) below the namespace, in a bag what is found',
    'right': 'topic of the right image',
    'left_info': 'topic of the left camera_info',
    'right_info': 'topic of the right camera_info',
    'stacking': 'how an image on the topic left holds both eyes: horizontal or vertical; none: '
    'each eye has its own topic',
}
DEFAULTS = dict.fromkeys(HELP, '') | {'stacking': 'none'}


def source_parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters of endoscope_node for the arguments that are given."""
    return {name: values[name] for name in HELP if values[name] != DEFAULTS[name]}


def camera_parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters of a node that takes the images of a camera."""
    return {'stacking': values['stacking']} if values['stacking'] != 'none' else {}


def camera_remaps(values: Mapping[str, Any]) -> dict[str, str]:
    """Names that nodes give the camera's topics -> the topics that are given."""
    images = {eye: values[eye] for eye in _EYES}
    if values['stacking'] != 'none':
        images = {'stereo': values['left']}
    remaps = {f'{eye}/{name}': topic for eye, topic in images.items() for name in _IMAGES}
    compressed = {
        f'{name}/compressed': f'{topic}/compressed' for name, topic in remaps.items() if topic
    }
    infos = {f'{eye}/camera_info': values[f'{eye}_info'] for eye in _EYES}
    return {name: topic for name, topic in (remaps | compressed | infos).items() if topic}
