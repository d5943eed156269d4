"""Pictures for people: classes in colours."""

import numpy as np
import pytest

from surgseg_ros import pictures

NAMES = ('background', 'shaft', 'wrist', 'jaw')


def test_classes_have_colours_of_their_own_and_the_background_stays() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    labels = np.zeros((200, 300), np.uint8)
    for index, value in enumerate((1, 2, 3, 255)):
        labels[10:60, 70 * index:70 * index + 50] = value
    before = image.copy()
    picture = pictures.overlay_classes(image, labels, NAMES, opacity=1.0)
    np.testing.assert_array_equal(image, before)
    found = [tuple(picture[30, 70 * index + 20]) for index in range(4)]
    assert found == [*pictures.CLASSES[:3], pictures.UNLABELLED]
    np.testing.assert_array_equal(picture[70:100][labels[70:100] == 0],
                                  image[70:100][labels[70:100] == 0])
    swatches = picture[100:, :20].reshape(-1, 3)
    for colour in pictures.CLASSES[:3]:
        assert (swatches == colour).all(axis=1).any(), 'the legend has the classes that are there'
    assert not (swatches == pictures.CLASSES[3]).all(axis=1).any()


def test_without_instruments_the_image_stays_as_it_is() -> None:
    image = np.full((50, 60, 3), 77, np.uint8)
    picture = pictures.overlay_classes(image, np.zeros((50, 60), np.uint8), NAMES, 0.5)
    np.testing.assert_array_equal(picture, image)


@pytest.mark.parametrize('count', [2, 11, 300])
def test_any_number_of_classes_has_colours(count: int) -> None:
    table = pictures.class_colours(count)
    assert table.shape == (256, 3)
    assert tuple(table[255]) == pictures.UNLABELLED
    assert tuple(table[1]) == pictures.CLASSES[0]
