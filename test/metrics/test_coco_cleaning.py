"""Annotations as tools export them: read as they are meant, or refused by name."""

import copy
from typing import Any

import pytest

from surgseg_ros.metrics.coco_cleaning import clean_truth

SQUARE = [[2, 3, 12, 3, 12, 13, 2, 13]]
TRUTH: dict[str, Any] = {
    'images': [
        {'id': number, 'file_name': f'{number}.png', 'width': 40, 'height': 30}
        for number in (1, 2)
    ],
    'annotations': [
        {
            'id': number,
            'image_id': number,
            'category_id': 1,
            'segmentation': SQUARE,
            'bbox': [2, 3, 10, 10],
        }
        for number in (1, 2)
    ],
    'categories': [{'id': 1, 'name': 'clip'}, {'id': 2, 'name': 'hook'}],
}


def changed(part: str, index: int, **values: Any) -> dict[str, Any]:
    truth = copy.deepcopy(TRUTH)
    truth[part][index] |= values
    return truth


def test_a_good_file_stays_as_it_is_but_for_crowds_that_are_said() -> None:
    before = copy.deepcopy(TRUTH)
    cleaned, notes = clean_truth(TRUTH)
    assert not notes and before == TRUTH
    assert [one['iscrowd'] for one in cleaned['annotations']] == [0, 0]
    assert cleaned['images'] == TRUTH['images']


@pytest.mark.parametrize(
    'truth',
    [
        changed('images', 0, id='1'),
        changed('images', 0, id=1.0),
        changed('annotations', 0, image_id='1'),
        changed('annotations', 0, category_id=1.0),
        changed('categories', 0, id='1'),
        changed('images', 0, width=40.0, height='30'),
        changed('annotations', 0, id=2),  # two annotations of one id are two annotations
        changed('annotations', 0, iscrowd=False),
        changed('annotations', 0, segmentation=[*SQUARE, [1, 2], [1, 2, 3, 4]]),
    ],
)
def test_what_can_be_meant_in_one_way_only(truth: dict[str, Any]) -> None:
    cleaned, notes = clean_truth(truth)
    assert not notes
    assert [one['image_id'] for one in cleaned['annotations']] == [1, 2]
    assert [one['category_id'] for one in cleaned['annotations']] == [1, 1]
    assert [one['segmentation'] for one in cleaned['annotations']] == [SQUARE, SQUARE]
    assert [(one['id'], one['width'], one['height']) for one in cleaned['images']] == [
        (1, 40, 30),
        (2, 40, 30),
    ]


@pytest.mark.parametrize('segmentation', [[], None, [[5, 5, 9, 9]], [[]]])
def test_a_box_in_place_of_a_mask(segmentation: Any) -> None:
    cleaned, notes = clean_truth(changed('annotations', 1, segmentation=segmentation))
    assert cleaned['annotations'][1]['segmentation'] == SQUARE
    assert notes == ('1 annotations have no mask: their boxes are taken',)


@pytest.mark.parametrize(
    ('truth', 'sentence'),
    [
        (changed('images', 1, id=1), r'the id 1 comes twice in images \(1.png and 2.png\)'),
        (changed('images', 1, id='1'), 'the id 1 comes twice in images'),
        (changed('categories', 1, id=1), r'the id 1 comes twice in categories \(clip and hook\)'),
        (changed('images', 0, width=40.5), 'image 1 has the width 40.5, expected a whole number'),
        (changed('images', 0, height=0), 'image 1 has the height 0, expected a whole number of p'),
        (changed('annotations', 0, category_id=7), 'annotation 1 is of category 7, which the tru'),
        (
            changed('annotations', 1, segmentation=[], bbox=[1, 2, 0, 4]),
            r'annotation 2 of image 2 \(2.png\) has neither a segmentation nor a bbox',
        ),
        (
            changed('annotations', 1, segmentation=[[1, 2, 3, 4, 5, None]]),
            r'annotation 2 of image 2 \(2.png\) has a segmentation that is neither polygons nor',
        ),
        (
            {**TRUTH, 'annotations': [{**TRUTH['annotations'][0], 'image_id': 'a'}]},
            "no annotation is of an image of the file: annotation 1 has the image_id 'a'",
        ),
    ],
)
def test_what_cannot_is_refused_by_name(truth: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        clean_truth(truth)
    assert '\n' not in str(error.value)
