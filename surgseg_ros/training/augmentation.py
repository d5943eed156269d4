"""Random changes to an image and its labels together, by albumentations.

A recipe says which, as a mapping from names to parameters; they act in the order of AUGMENTATIONS,
whatever the order in the recipe. Every one except `resize`, which is always there, has `p`, the
probability that it acts. Moved images are linearly interpolated, labels take the nearest pixel;
what comes in from outside the image is black, with label 255 unless `border_label` says 0.
"""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import cv2
import numpy as np

from surgseg_ros.metrics.segmentation import UNLABELLED
from surgseg_ros.predictors.preprocess import resize

Augmentation = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
Span = Sequence[float]
SURGICALSAM_VERSIONS = range(41)  # 0 leaves the image as it is


def make_augmentation(recipe: Mapping[str, object], size: tuple[int, int] | None) -> Augmentation:
    """Return augment(image, labels, rng_seed) -> (image, labels), a pure function of the three.

    recipe: parameters of AUGMENTATIONS by name, and border_label; empty for resizing alone.
    size: (height, width) of what comes out, px; None leaves images at theirs, without which
    `scale` cannot be. image: HxWx3 uint8 RGB; labels: HxW uint8.
    Raises ValueError with the known names for an unknown augmentation or parameter.
    """
    given = dict(recipe)
    border_label = given.pop('border_label', UNLABELLED)
    if border_label not in (0, UNLABELLED):
        raise ValueError(f'border_label is {border_label}, expected 0 or {UNLABELLED}')
    compose = _albumentations().Compose(make_steps(given, size, border_label))

    def augment(
        image: np.ndarray, labels: np.ndarray, rng_seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        compose.set_random_state(np.random.default_rng(rng_seed), random.Random(rng_seed))
        height, width = size or image.shape[:2]
        done = compose(
            image=resize(image, height, width), mask=resize_labels(labels, height, width)
        )
        return done['image'], done['mask']

    return augment


def make_steps(
    recipe: Mapping[str, object], size: tuple[int, int] | None, border_label: int = UNLABELLED
) -> list[object]:
    """Albumentations' transforms of a recipe, in the order of AUGMENTATIONS; see above."""
    unknown = recipe.keys() - AUGMENTATIONS.keys()
    if unknown:
        raise ValueError(
            f'no augmentation is called {min(unknown)!r}; known: '
            f'{", ".join(AUGMENTATIONS)}, border_label'
        )
    border = {'border_mode': cv2.BORDER_CONSTANT, 'fill': 0, 'fill_mask': border_label}
    return [
        step
        for name, make in AUGMENTATIONS.items()
        if name in recipe
        for step in _made(name, make, recipe[name], size, border)
    ]


def surgicalsam_recipe(version: int) -> dict[str, object]:
    """Return what SurgicalSAM does for one of its versions: 0 nothing, 1 to 10 flips only, ...

    11 to 20 scale as well, 21 to 30 turn (half of the turns chosen are by 0 degrees), 31 to 40
    change colours. Borders are background, as there. The published script seeds every image alike;
    with make_augmentation the caller chooses.
    """
    if version not in SURGICALSAM_VERSIONS:
        raise ValueError(
            f'SurgicalSAM has no augmentation version {version}, expected 0 to '
            f'{SURGICALSAM_VERSIONS[-1]}'
        )
    extra: dict[str, object] = {}
    if 11 <= version <= 20:
        extra['scale'] = {'factor': (1.0, 1.2), 'p': 0.5}
    elif 21 <= version <= 30:
        extra['rotate'] = {'degrees': (0.0, 30.0), 'p': 0.25}
    elif version > 30:
        extra['colour'] = {'brightness': 0.4, 'contrast': 0.4, 'saturation': 0.4, 'p': 0.5}
    flips = {'flip': {'horizontal': 0.5, 'vertical': 0.5}} if version else {}
    return {**flips, **extra, 'border_label': 0}


def _scale(
    size: tuple[int, int] | None,
    border: Mapping[str, int],
    factor: Span = (1.0, 1.2),
    p: float = 0.5,
) -> list[object]:
    """Enlarge or shrink by a factor from this range, then cut out (or pad to) the size."""
    if size is None:
        raise ValueError('it cuts out one size, and images keep theirs')
    A = _albumentations()
    limit = factor[0] - 1, factor[1] - 1
    return [
        A.Sequential(
            [A.RandomScale(limit, p=1), A.RandomCrop(*size, pad_if_needed=True, **border)], p=p
        )
    ]


def _flip(
    size: tuple[int, int] | None,
    border: Mapping[str, int],
    horizontal: float = 0.5,
    vertical: float = 0.5,
) -> list[object]:
    """Mirror left-right and upside-down, with these probabilities."""
    A = _albumentations()
    return [A.HorizontalFlip(p=horizontal), A.VerticalFlip(p=vertical)]


def _rotate(
    size: tuple[int, int] | None,
    border: Mapping[str, int],
    degrees: Span | float = 30.0,
    p: float = 0.5,
) -> list[object]:
    """Turn about the centre by an angle from this range (a number: to both sides)."""
    return [_albumentations().Rotate(degrees, p=p, **border)]


def _shift(
    size: tuple[int, int] | None, border: Mapping[str, int], fraction: float = 0.1, p: float = 0.5
) -> list[object]:
    """Move by up to this fraction of width and height."""
    return [_albumentations().Affine(translate_percent=(-fraction, fraction), p=p, **border)]


def _colour(
    size: tuple[int, int] | None,
    border: Mapping[str, int],
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    hue: float = 0.0,
    p: float = 0.5,
) -> list[object]:
    """Change by factors of 1 -/+ these, the hue by this fraction of the colour circle."""
    return [_albumentations().ColorJitter(brightness, contrast, saturation, hue, p=p)]


def _blur(
    size: tuple[int, int] | None,
    border: Mapping[str, int],
    sigma: Span = (0.5, 1.5),
    p: float = 0.5,
) -> list[object]:
    """Gaussian blur with a standard deviation from this range, px."""
    return [_albumentations().GaussianBlur(blur_limit=0, sigma_limit=tuple(sigma), p=p)]


def _noise(
    size: tuple[int, int] | None,
    border: Mapping[str, int],
    std: Span = (0.01, 0.04),
    p: float = 0.5,
) -> list[object]:
    """Gaussian noise per channel with a standard deviation from this range, of white."""
    return [_albumentations().GaussNoise(std_range=tuple(std), p=p)]


AUGMENTATIONS: dict[str, Callable[..., list[object]]] = {
    'scale': _scale,
    'flip': _flip,
    'rotate': _rotate,
    'shift': _shift,
    'colour': _colour,
    'blur': _blur,
    'noise': _noise,
}


def _made(
    name: str,
    make: Callable[..., list[object]],
    parameters: object,
    size: tuple[int, int] | None,
    border: Mapping[str, int],
) -> list[object]:
    if not isinstance(parameters, Mapping | None):
        raise ValueError(f'augmentation {name} must be a section with keys, not {parameters!r}')
    given = {key: _parameter(f'{name}.{key}', value) for key, value in (parameters or {}).items()}
    known = list(signature(make).parameters)[2:]
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise ValueError(f'augmentation {name} has no {unknown[0]!r}; known: {", ".join(known)}')
    try:
        return make(size, border, **given)
    except (TypeError, ValueError) as error:
        raise ValueError(f'augmentation {name} cannot be made so: {_reason(error)}') from error


def _parameter(place: str, value: Any) -> object:
    """A number, or a tuple of the least and the greatest, which is a list in YAML."""
    numbers = value if isinstance(value, list | tuple) else [value, value]
    if (
        len(numbers) != 2
        or not all(type(one) in (int, float) for one in numbers)
        or not numbers[0] <= numbers[1]
    ):
        raise ValueError(
            f'augmentation.{place} must be a number or [least, greatest], not {value!r}'
        )
    return tuple(value) if isinstance(value, list) else value


def _reason(error: Exception) -> str:
    """What is wrong, in one line; albumentations checks by pydantic, which explains at length."""
    checked: Any = error.__cause__
    if not hasattr(checked, 'errors'):
        return str(error)
    return '; '.join(f'{".".join(map(str, one["loc"]))}: {one["msg"]}' for one in checked.errors())


def _albumentations() -> Any:
    os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')  # else it asks the network on import
    import albumentations

    return albumentations


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """HxW uint8 class ids at another size, those of the nearest pixels."""
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
