"""Weights that come with the package, in models/."""

from pathlib import Path

from surgseg_ros.media.share import share

_DEFAULTS = {
    'lwanet': 'lwanet_simulated.safetensors',
    'lwanet_parts': 'lwanet_parts_simulated.safetensors',
    'solo_mobilenet': 'solo_simulated.safetensors',
}


def bundled_weights(model: str) -> Path | None:
    """File of the weights that `model` uses where none are given; None if there are none."""
    path = share() / 'models' / _DEFAULTS.get(model, '')
    return path if path.is_file() else None


def are_bundled(model: str, weights: str | Path | None) -> bool:
    """Whether these weights of `model` are those that come with the package."""
    own = bundled_weights(model)
    return own is not None and (not weights or Path(weights).resolve() == own.resolve())


def find_weights(name: str | Path) -> Path:
    """Return the path of a file that exists, seen from here, else from the package's share folder.

    name: a path such as models/lwanet_simulated.safetensors, ~ allowed. Raises FileNotFoundError.
    """
    path = Path(name).expanduser()
    places = [path, share() / path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f'there is no checkpoint {path}, neither here nor in {share()}')
    return found
