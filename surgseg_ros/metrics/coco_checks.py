"""What is wrong with COCO's JSON structures, in one sentence: pycocotools would stumble or guess.

cocodataset.org/#format-data and #format-results.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from surgseg_ros.metrics.run_lengths import decode_run_lengths, fills

Json = dict[str, Any]

_PARTS = {  # of an annotation file: lists of records that have these keys
    'images': ('id', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'segmentation'),
    'categories': ('id',),
}
_FARTHEST = 2**20  # px from the corner of the image: pycocotools crashes far away
_RESULT = ('image_id', 'category_id', 'segmentation', 'score')


def check_truth(truth: object) -> None:
    """ValueError if this is not the content of an annotation file."""
    if not isinstance(truth, Mapping):
        raise ValueError(
            f'COCO annotations are a {type(truth).__name__}, expected images, '
            'annotations and categories by name'
        )
    for part, keys in _PARTS.items():
        if part not in truth:
            raise ValueError(
                f'COCO annotations have no {part!r}, expected images, annotations and categories'
            )
        if not isinstance(truth[part], list):
            raise ValueError(f'{part} of the COCO annotations are no list')
        for index, one in enumerate(truth[part]):
            _check_keys(one, keys, f'number {index} of the {part}')


def check_detections(
    detections: object, image_ids: Collection[object], category_ids: Collection[object]
) -> None:
    """ValueError if this is no list of results for these images.

    Some may be of other categories, which do not count, but not all.
    """
    if not isinstance(detections, list):
        raise ValueError("detections are not COCO's: expected a list of results")
    for index, one in enumerate(detections):
        _check_keys(one, _RESULT, f'detection {index}')
        check_known(one['image_id'], image_ids, f'detection {index} is of image')
        score = one['score']
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise ValueError(f'detection {index} has the score {score!r}, expected a number')
        box = one.get('bbox')
        if box and not (
            isinstance(box, list) and [isinstance(x, int | float) for x in box] == [True] * 4
        ):
            raise ValueError(
                f'detection {index} has the bbox {box!r}, expected x, y, width, height'
            )
    if detections and not any(one['category_id'] in category_ids for one in detections):
        check_known(detections[0]['category_id'], category_ids, 'detection 0 is of category')


def encode(segmentation: Any, size: tuple[int, int], what: str) -> Json:
    """Compressed run lengths of what COCO allows: polygons, or run lengths of either kind.

    size: (height, width) px of the image. ValueError that begins with `what` if it is none of
    these or of another size.
    """
    from pycocotools import mask as codec

    check_segmentation(segmentation, size, what)
    encoded: Json
    if isinstance(segmentation, list):
        encoded = codec.merge(codec.frPyObjects(segmentation, *size))
        return encoded
    encoded = {'size': list(size), 'counts': segmentation['counts']}
    return codec.frPyObjects(encoded, *size) if isinstance(encoded['counts'], list) else encoded


def check_segmentation(segmentation: Any, size: tuple[int, int], what: str) -> None:
    """See encode, which would succeed."""
    try:
        if isinstance(segmentation, list):
            _check_polygons(segmentation)
            return
        found, counts = tuple(segmentation['size']), segmentation['counts']
        runs = _run_lengths(counts) if found == size else np.empty(0)
    except Exception as error:  # whatever a stranger's JSON leads to
        raise ValueError(
            f'{what} has a segmentation that is neither polygons nor run lengths'
        ) from error
    if found != size:
        raise ValueError(
            f'{what} has a segmentation of {_pixels(found)}, its image has {_pixels(size)}'
        )
    if not fills(runs, math.prod(size)):  # pycocotools would not notice
        raise ValueError(f'{what} has run lengths that do not fill its image')


def _check_polygons(polygons: list[object]) -> None:
    if not polygons:
        raise ValueError('there is no polygon')
    for polygon in polygons:
        numbers = np.array(polygon)
        if not (
            numbers.dtype.kind in 'iuf'
            and numbers.ndim == 1
            and len(numbers) % 2 == 0
            and len(numbers) >= 6
            and (np.abs(numbers) <= _FARTHEST).all()
        ):
            raise ValueError('a polygon is x, y, x, y, ... in px')


def _run_lengths(counts: str | bytes | list[int]) -> np.ndarray:
    if not isinstance(counts, list):
        return decode_run_lengths(counts)
    numbers = np.array(counts)
    if numbers.dtype.kind not in 'iu':
        raise ValueError('run lengths are whole numbers')
    return numbers


def _check_keys(one: object, keys: Collection[str], what: str) -> None:
    if not isinstance(one, dict):
        raise ValueError(f'{what} is a {type(one).__name__}, expected keys with values')
    for key in keys:
        if key not in one:
            raise ValueError(f'{what} has no {key!r}')
        if key.endswith('id') and not isinstance(one[key], int | str | float):
            raise ValueError(f'{what} has the {key} {one[key]!r}, expected a number')


def check_known(number: object, known: Collection[object], what: str) -> None:
    """ValueError if a number is none of those that are known."""
    if number not in known:
        raise ValueError(f'{what} {number!r}, which the truth does not have')


def _pixels(size: tuple[int, ...]) -> str:
    return 'x'.join(map(str, reversed(size))) + ' px'
