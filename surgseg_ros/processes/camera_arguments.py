"""Arguments that every pipeline has: what the topics of the camera are called, and hold."""

from collections.abc import Mapping
from typing import Any

_EYES = ('left', 'right')
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
    """Names that nodes give the camera's topics -> the topics that are given.

    Only image_raw with `rectify`: image_rect is then what a node publishes.
    """
    name = 'image_raw' if values['rectify'] else 'image_rect'
    images = {eye: values[eye] for eye in _EYES}
    if values['stacking'] != 'none':
        images = {'stereo': values['left']}
    remaps = {f'{eye}/camera_info': values[f'{eye}_info'] for eye in _EYES}
    for eye, topic in images.items():
        for ending in ('', '/compressed') if topic else ():
            remaps[f'{eye}/{name}{ending}'] = topic + ending
    return {wanted: topic for wanted, topic in remaps.items() if topic}
