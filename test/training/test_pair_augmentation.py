"""Both eyes, disparity and labels change together: x_left - x_right still holds in every pixel."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip('albumentations', reason='augmentation needs albumentations')

from surgseg_ros.training.pair_augmentation import Pair, make_pair_augmentation  # noqa: E402

SIZE = (48, 64)
HEIGHT, WIDTH = 80, 120
EVERYTHING: dict[str, Any] = {
    'scale': {'factor': [0.7, 1.4], 'p': 1.0},
    'flip': {'vertical': 0.5},
    'colour': {},
    'blur': {'p': 0.2},
    'noise': {'p': 0.2},
}


def ramp() -> Pair:
    """Grey levels that say where a pixel of the right eye is: x = 2 r, y = 3 g; disparity 6 px.

    The left image shows the same surface 6 px further to the right. The labels are 1 below.
    """
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    right = np.stack([2 * columns, 3 * rows, np.zeros_like(rows)], -1).astype(np.uint8)
    left = np.roll(right, 6, axis=1)
    disparity = np.full((HEIGHT, WIDTH), 6, np.float32)
    disparity[:, :6] = np.nan
    return Pair(left, right, disparity, (rows >= HEIGHT // 2).astype(np.uint8))


def test_disparity_still_leads_to_the_same_point() -> None:
    augment = make_pair_augmentation(
        {**EVERYTHING, 'colour': {'p': 0.0}, 'blur': {'p': 0.0}, 'noise': {'p': 0.0}}, SIZE
    )
    flipped = found = 0
    for seed in range(20):
        pair = augment(ramp(), seed)
        assert pair.left.shape == pair.right.shape == (*SIZE, 3)
        assert pair.disparity is not None and pair.labels is not None
        rows, columns = np.nonzero(np.isfinite(pair.disparity))
        there = columns - pair.disparity[rows, columns]
        inside = (there >= 2) & (there < SIZE[1] - 2)
        rows, columns, there = rows[inside], columns[inside], there[inside]
        low = np.floor(there).astype(int)
        share = (there - low)[:, None]
        right = pair.right.astype(float)
        seen = (1 - share) * right[rows, low] + share * right[rows, low + 1]
        off = np.abs(seen - pair.left[rows, columns])[:, :2].max(axis=1)
        assert np.quantile(off, 0.9) < 3  # 2 grey levels are a pixel
        found += len(rows)
        known = pair.labels != 255
        below = pair.left[..., 1] >= 3 * HEIGHT // 2
        assert (pair.labels == below)[known].mean() > 0.94
        ordered = pair.left[:, 40, 1].astype(int)
        flipped += ordered[4] > ordered[30]
    assert 4 < flipped < 16 and found > 10_000


def test_pure_function_of_the_seed_and_colours_alike_in_both_eyes() -> None:
    augment = make_pair_augmentation(EVERYTHING, SIZE)
    first, others, again = (
        augment(ramp(), 5),
        [augment(ramp(), s) for s in range(5)],
        augment(ramp(), 5),
    )
    np.testing.assert_array_equal(first.left, again.left)
    np.testing.assert_array_equal(first.disparity, again.disparity)
    assert len({one.left.tobytes() for one in others}) == 5
    grey = np.full((HEIGHT, WIDTH, 3), (180, 90, 60), np.uint8)
    only_colour = make_pair_augmentation({'colour': {'p': 1.0}}, SIZE)
    for seed in range(5):
        pair = only_colour(Pair(grey, grey), seed)
        np.testing.assert_array_equal(pair.left, pair.right)
        assert pair.disparity is None and (pair.left != (180, 90, 60)).any()


def test_a_smaller_pair_is_filled_up() -> None:
    pair = make_pair_augmentation({}, (100, 150))(ramp(), 0)
    assert pair.disparity is not None and pair.labels is not None
    assert np.isnan(pair.disparity[HEIGHT:]).all() and (pair.labels[:, WIDTH:] == 255).all()
    assert not pair.left[HEIGHT:].any()


@pytest.mark.parametrize(
    ('recipe', 'message'),
    [
        ({'rotate': {}}, 'rotate is none of stereo pairs: a turn tears the rows'),
        ({'flip': {'horizontal': 0.5}}, 'flip.horizontal is none of stereo pairs: it would exch'),
        ({'shift': {}}, 'shift is none of stereo pairs'),
        ({'hue': {}}, "no augmentation of pairs is called 'hue'; known: scale, flip, colour"),
        ({'scale': {'faktor': 2}}, "augmentation scale has no 'faktor'; known: factor, p"),
    ],
)
def test_what_no_pair_can_have_is_said(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_pair_augmentation(recipe, SIZE)
