"""Weights that come with the package, in models/."""

from pathlib import Path

from surgseg_ros.pipelines import share

_DEFAULTS = {
    'lwanet': 'lwanet_simulated.safetensors',
    'solo_mobilenet': 'solo_simulated.safetensors',
}


def bundled_weights(model: str) -> Path | None:
    """File of the weights that `model` uses where none are given; None if there are none."""
    path = share() / 'models' / _DEFAULTS.get(model, '')
    return path if path.is_file() else None
