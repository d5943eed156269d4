"""Pictures for people: classes and instances in colours."""

import numpy as np
import pytest

from surgseg_ros.frames.results import InstanceResult, mask_boxes
from surgseg_ros.media import pictures

NAMES = ('background', 'shaft', 'wrist', 'jaw')


def test_classes_have_colours_of_their_own_and_the_background_stays() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    labels = np.zeros((200, 300), np.uint8)
    for index, value in enumerate((1, 2, 3, 255)):
        labels[10:60, 70 * index : 70 * index + 50] = value
    before = image.copy()
    picture = pictures.overlay_classes(image, labels, NAMES, opacity=1.0)
    np.testing.assert_array_equal(image, before)
    found = [tuple(picture[30, 70 * index + 20]) for index in range(4)]
    assert found == [*pictures.CLASSES[:3], pictures.UNLABELLED]
    np.testing.assert_array_equal(
        picture[70:100][labels[70:100] == 0], image[70:100][labels[70:100] == 0]
    )
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


def instances(track_ids: list[int] | None) -> InstanceResult:
    masks = np.zeros((2, 200, 300), bool)
    masks[0, 20:90, 100:180] = masks[1, 110:190, 250:300] = True
    return InstanceResult(
        np.array([1, 2]),
        np.float32([0.9, 0.8]),
        mask_boxes(masks),
        masks,
        class_names=NAMES,
        track_ids=None if track_ids is None else np.array(track_ids, np.uint32),
    )


def test_instances_have_the_colour_of_their_track_and_a_title() -> None:
    image = np.full((200, 300, 3), 100, np.uint8)
    for track_ids, places in ((None, (0, 1)), ([0, 0], (0, 1)), ([4, 12], (3, 1))):
        picture = pictures.overlay_instances(image, instances(track_ids), opacity=1.0)
        assert tuple(picture[60, 140]) == pictures.CLASSES[places[0]]
        assert tuple(picture[160, 280]) == pictures.CLASSES[places[1]]
        assert (image == 100).all(), 'the image stays as it is'
        np.testing.assert_array_equal(picture[100:105], image[100:105])
    numbered = pictures.overlay_instances(image, instances([1, 2]), opacity=1.0)
    plain = pictures.overlay_instances(image, instances(None), opacity=1.0)
    assert (numbered != plain).any(axis=2).sum() > 10, 'the number is written'


def test_instances_of_an_image_smaller_than_a_title() -> None:
    image = np.full((16, 16, 3), 100, np.uint8)
    masks = np.zeros((1, 16, 16), bool)
    masks[0, 4:12, 8:] = True
    result = InstanceResult(
        np.array([1]), np.float32([1]), mask_boxes(masks), masks, class_names=NAMES
    )
    assert (pictures.overlay_instances(image, result, 0.5)[8, 12] != 100).any()
    nothing = pictures.overlay_instances(image, result.best(0), 0.5)
    np.testing.assert_array_equal(nothing, image)
