"""Random changes to a rectified stereo pair, its disparity and its labels together.

The same geometric change acts on both images, and disparity is scaled with the images, so that
x_left - x_right still holds in every pixel. What breaks that is refused: a turn tears the rows of
the eyes apart, and a pair mirrored left-right has its eyes exchanged.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from surgseg_ros.metrics.segmentation import UNLABELLED
from surgseg_ros.training.augmentation import make_steps

COLOURS = ('colour', 'blur', 'noise')
_REFUSED = {
    'rotate': 'a turn tears the rows of the eyes apart',
    'shift': 'the crop, which is always random, moves the picture already',
}


@dataclass(frozen=True)
class Pair:
    """left, right: HxWx3 uint8 RGB. disparity: HxW float32 px, NaN unknown, or None.

    labels: HxW uint8 class ids of the left eye, or None.
    """

    left: np.ndarray
    right: np.ndarray
    disparity: np.ndarray | None = None
    labels: np.ndarray | None = None


PairAugmentation = Callable[[Pair, int], Pair]


def make_pair_augmentation(recipe: Mapping[str, Any], size: tuple[int, int]) -> PairAugmentation:
    """Return augment(pair, rng_seed) -> pair of this (height, width), a pure function of both.

    recipe: any of scale {factor: [least, greatest], p}, flip {vertical: odds}, and colour, blur
    and noise as in augmentation.AUGMENTATIONS, which act alike on both eyes. A crop at a random
    place makes the size; what is missing is black, with unknown disparity and label 255.
    Raises ValueError with one sentence for what no pair can have.
    """
    for name in recipe:
        if name in _REFUSED:
            raise ValueError(f'augmentation {name} is none of stereo pairs: {_REFUSED[name]}')
    known = ('scale', 'flip', *COLOURS)
    unknown = sorted(recipe.keys() - set(known))
    if unknown:
        raise ValueError(
            f'no augmentation of pairs is called {unknown[0]!r}; known: {", ".join(known)}'
        )
    flip, scale = dict(recipe.get('flip') or {}), dict(recipe.get('scale') or {})
    if flip.get('horizontal'):
        raise ValueError(
            'augmentation flip.horizontal is none of stereo pairs: it would exchange the eyes'
        )
    geometric = {name: recipe[name] for name in ('flip', 'scale') if name in recipe}
    make_steps(geometric, size)  # refuses wrong parameters
    colours = _compose({name: recipe[name] for name in COLOURS if name in recipe})
    least, greatest = scale.get('factor', (1.0, 1.2))
    odds = {'scale': scale.get('p', 0.5) if 'scale' in recipe else 0.0}
    odds['flip'] = flip.get('vertical', 0.5) if 'flip' in recipe else 0.0

    def augment(pair: Pair, rng_seed: int) -> Pair:
        rng = np.random.default_rng(rng_seed)
        if rng.random() < odds['scale']:
            pair = scaled(pair, rng.uniform(least, greatest))
        pair = _cropped(pair, size, rng)
        if rng.random() < odds['flip']:
            pair = _each(pair, lambda image: np.ascontiguousarray(image[::-1]))
        colours.set_random_state(np.random.default_rng(rng_seed), random.Random(rng_seed))
        done = colours(image=pair.left, right=pair.right)
        return replace(pair, left=done['image'], right=done['right'])

    return augment


def scaled(pair: Pair, factor: float) -> Pair:
    """The pair at another size; disparity grows with the width that it really has then."""
    height, width = pair.left.shape[:2]
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    resized = Pair(
        cv2.resize(pair.left, size, interpolation=cv2.INTER_LINEAR),
        cv2.resize(pair.right, size, interpolation=cv2.INTER_LINEAR),
        *(
            None if one is None else cv2.resize(one, size, interpolation=cv2.INTER_NEAREST_EXACT)
            for one in (pair.disparity, pair.labels)
        ),
    )
    if resized.disparity is None:
        return resized
    return replace(resized, disparity=resized.disparity * np.float32(size[0] / width))


def _cropped(pair: Pair, size: tuple[int, int], rng: np.random.Generator) -> Pair:
    """A part of this (height, width) at a random place, filled up where the pair is smaller."""
    missing = [max(want - have, 0) for want, have in zip(size, pair.left.shape[:2], strict=True)]
    fills = {'left': 0, 'right': 0, 'disparity': np.nan, 'labels': UNLABELLED}
    padded = {
        name: np.pad(
            image,
            [(0, missing[0]), (0, missing[1]), (0, 0)][: image.ndim],
            constant_values=fills[name],
        )
        for name in fills
        if (image := getattr(pair, name)) is not None
    }
    height, width = padded['left'].shape[:2]
    top = int(rng.integers(height - size[0] + 1))
    left = int(rng.integers(width - size[1] + 1))
    window = np.s_[top : top + size[0], left : left + size[1]]
    return replace(pair, **{name: image[window] for name, image in padded.items()})


def _each(pair: Pair, change: Callable[[np.ndarray], np.ndarray]) -> Pair:
    return Pair(
        change(pair.left),
        change(pair.right),
        *(None if one is None else change(one) for one in (pair.disparity, pair.labels)),
    )


def _compose(recipe: Mapping[str, Any]) -> Any:
    """Colours, alike for both eyes."""
    import albumentations

    return albumentations.Compose(make_steps(recipe, None), additional_targets={'right': 'image'})
