"""Weights that a recipe names: of the current folder, or of the bundled ones."""

from pathlib import Path

from surgseg_ros.pipelines import share


def find_weights(name: str) -> Path:
    """Return the path of a file that exists, seen from here, else from the package's share folder.

    name: a path such as models/lwanet_simulated.safetensors, ~ allowed. Raises FileNotFoundError.
    """
    path = Path(name).expanduser()
    places = [path, share() / path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f'there is no checkpoint {path}, neither here nor in {share()}')
    return found
