"""The file of weights that a predictor was given."""

from pathlib import Path

from surgseg_ros import networks


def existing_weights(name: str, weights: str | Path | None) -> Path:
    """Return the path of a file that exists.

    Raises FileNotFoundError, or ValueError that says where the authors publish weights of the
    network `name` if none were given.
    """
    if not weights:
        known = networks.spec(name)
        raise ValueError(
            f'{name} needs weights: the authors publish them at {known.homepage} '
            f'({known.licence}; {known.checkpoints[0].name} and others)'
        )
    if not Path(weights).is_file():
        raise FileNotFoundError(f'there is no checkpoint {weights}')
    return Path(weights)
