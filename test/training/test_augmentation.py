"""Image and labels change together, and as the seed alone decides."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('albumentations', reason='augmentation needs albumentations')

from surgseg_ros.training.augmentation import AUGMENTATIONS, make_augmentation, surgicalsam_recipe  # noqa: E402

SIZE = (64, 80)
EVERYTHING: dict = {name: {} for name in AUGMENTATIONS}


def sample():
    """Class k has grey value 60 + 60 k, so that an image shows its labels."""
    labels = np.zeros(SIZE, np.uint8)
    labels[10:40, 20:50], labels[30:60, 44:70] = 1, 2
    return np.repeat((60 + 60 * labels)[..., None], 3, axis=2), labels


def digest(recipe, seed):
    image, labels = make_augmentation(recipe, SIZE)(*sample(), seed)
    return hashlib.sha256(image.tobytes() + labels.tobytes()).hexdigest()


@pytest.mark.parametrize(
    'recipe',
    [EVERYTHING, *({name: {}} for name in AUGMENTATIONS)],
    ids=['everything', *AUGMENTATIONS],
)
def test_pure_function_of_the_seed(recipe):
    augment = make_augmentation(recipe, SIZE)
    first = augment(*sample(), 5)
    others = [augment(*sample(), seed) for seed in range(20)]
    again = augment(*sample(), 5)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({image.tobytes() + labels.tobytes() for image, labels in others}) > 3


def test_same_pixels_in_another_process():
    code = (
        'import sys; sys.path[:0] = ["test/training"]\n'
        'from test_augmentation import EVERYTHING, digest\n'
        'print(*[digest(EVERYTHING, seed) for seed in range(8)])'
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    other = subprocess.run(
        [sys.executable, '-c', code], cwd=root, text=True, check=True, capture_output=True
    ).stdout.split()
    assert other == [digest(EVERYTHING, seed) for seed in range(8)]


@pytest.mark.parametrize('name', ['scale', 'flip', 'rotate', 'shift'])
def test_image_and_labels_move_together(name):
    augment = make_augmentation({name: {}}, SIZE)
    moved = 0
    for seed in range(20):
        image, labels = augment(*sample(), seed)
        assert image.shape == (*SIZE, 3) and labels.shape == SIZE and labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {0, 1, 2, 255}
        shown = np.round((image[..., 0].astype(float) - 60) / 60)
        known = labels != 255
        assert (shown[known] == labels[known]).mean() > 0.97  # but for mixed pixels at edges
        moved += not np.array_equal(labels, sample()[1])
    assert moved > 5


@pytest.mark.parametrize('name', ['colour', 'blur', 'noise'])
def test_colours_leave_labels_alone(name):
    augment = make_augmentation({name: {'p': 1.0}}, SIZE)
    image, labels = augment(*sample(), 3)
    np.testing.assert_array_equal(labels, sample()[1])
    assert not np.array_equal(image, sample()[0])


def test_flips_are_independent():
    augment = make_augmentation({'flip': {}}, SIZE)
    labels = sample()[1]
    views = [labels, labels[:, ::-1], labels[::-1], labels[::-1, ::-1]]
    seen = [
        next(
            i for i, view in enumerate(views) if np.array_equal(view, augment(*sample(), seed)[1])
        )
        for seed in range(200)
    ]
    assert min(np.bincount(seen, minlength=4)) > 30  # 50 expected of each


@pytest.mark.parametrize('border', [0, 255])
def test_what_comes_from_outside_has_the_border_label(border):
    ones = np.ones(SIZE, np.uint8)
    augment = make_augmentation(
        {'rotate': {'degrees': [30, 30], 'p': 1}, 'border_label': border}, SIZE
    )
    _, labels = augment(sample()[0], ones, 0)
    assert set(np.unique(labels)) == {1, border}


def test_other_sizes_are_resized_even_without_augmentation():
    image, labels = make_augmentation({}, (32, 40))(*sample(), 0)
    assert image.shape == (32, 40, 3)
    np.testing.assert_array_equal(labels, sample()[1][1::2, 1::2])


def test_surgicalsams_versions():
    assert digest(surgicalsam_recipe(0), 3) == digest({}, 3)
    extras = [
        set(surgicalsam_recipe(version)) - {'flip', 'border_label'} for version in range(1, 41)
    ]
    assert extras == [set()] * 10 + [{'scale'}] * 10 + [{'rotate'}] * 10 + [{'colour'}] * 10
    for version in (5, 15, 25, 35):
        _, labels = make_augmentation(surgicalsam_recipe(version), SIZE)(*sample(), version)
        assert labels.max() <= 2


@pytest.mark.parametrize(
    ('recipe', 'message'),
    [
        ({'rotation': {}}, "no augmentation is called 'rotation'; known: scale, flip, rotate"),
        ({'rotate': {'angle': 3}}, "rotate has no 'angle'; known: degrees, p"),
        ({'flip': 3}, 'augmentation flip must be a section with keys, not 3'),
        (
            {'rotate': {'degrees': 'hello'}},
            'augmentation.rotate.degrees must be a number or .least, ',
        ),
        ({'scale': {'factor': [2, 1]}}, r'augmentation.scale.factor must be .*, not \[2, 1\]'),
        ({'blur': {'p': 2}}, 'augmentation blur cannot be made so: p: Input should be [^\n]*$'),
        ({'border_label': 7}, 'border_label is 7, expected 0 or 255'),
    ],
)
def test_unknown_names_are_errors(recipe, message):
    with pytest.raises(ValueError, match=message):
        make_augmentation(recipe, SIZE)


def test_no_such_version():
    with pytest.raises(ValueError, match='no augmentation version 41'):
        surgicalsam_recipe(41)


def test_images_may_keep_their_sizes() -> None:
    augment = make_augmentation({'flip': {'horizontal': 1.0, 'vertical': 0.0}}, None)
    for size in ((20, 30), (31, 17)):
        labels = np.arange(np.prod(size)).reshape(size).astype(np.uint8)
        image = np.repeat(labels[..., None], 3, axis=2)
        flipped, flipped_labels = augment(image, labels, 0)
        np.testing.assert_array_equal(flipped, image[:, ::-1])
        np.testing.assert_array_equal(flipped_labels, labels[:, ::-1])
    with pytest.raises(ValueError, match='augmentation scale cannot be made so: it cuts out one'):
        make_augmentation({'scale': {}}, None)
