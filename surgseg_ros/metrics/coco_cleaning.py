"""COCO annotations as tools export them, brought into the form that COCO describes.

What can only be meant in one way is accepted: ids and sizes as texts or decimals, polygons of
fewer than three points, boxes in place of masks. What cannot is refused by name, with the image
and the annotation, before anything is computed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from surgseg_ros.metrics.coco_checks import Json, check_known, check_segmentation, check_truth

_IDS = ('id', 'image_id', 'category_id')
_SMALLEST = 6  # numbers of a polygon: three points


def clean_truth(truth: Any) -> tuple[Json, tuple[str, ...]]:
    """The completed content of an annotation file, and a sentence for each change.

    Raises ValueError with one sentence that names the image and the annotation.
    """
    check_truth(truth)
    parts = {part: clean_ids(truth[part]) for part in ('images', 'annotations', 'categories')}
    for part in ('images', 'categories'):
        _check_unique(parts[part], part)
    known = {one['id'] for one in parts['categories']}
    for one in parts['annotations']:
        check_known(one['category_id'], known, f'annotation {one["id"]} is of category')
    for image in parts['images']:
        for key in ('height', 'width'):
            image[key] = _pixels(image[key], f'image {image["id"]!r} has the {key}')
    images = {image['id']: image for image in parts['images']}
    _check_images(parts['annotations'], images)
    boxes = [one for one in parts['annotations'] if _clean_segmentation(one, images)]
    for one in parts['annotations']:
        one['iscrowd'] = int(bool(one.get('iscrowd', 0)))
    notes = [f'{len(boxes)} annotations have no mask: their boxes are taken'] if boxes else []
    return {**truth, **parts}, tuple(notes)


def clean_ids(records: Sequence[Json]) -> list[Json]:
    """Copies of records whose ids are whole numbers where they are written as others."""
    return [{**one, **{key: _number(one[key]) for key in _IDS if key in one}} for one in records]


def _number(value: object) -> object:
    """'7' and 7.0 as 7; anything else as it is."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _pixels(value: object, what: str) -> int:
    number = _number(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f'{what} {value!r}, expected a whole number of px')
    return number


def _check_unique(records: Sequence[Json], part: str) -> None:
    """ValueError if an id comes twice: which of the two would an annotation be of?"""
    seen: dict[object, Json] = {}
    for one in records:
        if one['id'] in seen:
            names = [each.get('file_name') or each.get('name') for each in (seen[one['id']], one)]
            named = f' ({names[0]} and {names[1]})' if all(names) else ''
            raise ValueError(f'the id {one["id"]!r} comes twice in {part}{named}')
        seen[one['id']] = one


def _check_images(annotations: Sequence[Json], images: Mapping[object, Json]) -> None:
    """ValueError if no annotation is of any image; some may be of images left out of the file."""
    if annotations and not any(one['image_id'] in images for one in annotations):
        first = annotations[0]
        raise ValueError(
            f'no annotation is of an image of the file: annotation {first["id"]!r} has the '
            f'image_id {first["image_id"]!r}'
        )


def _clean_segmentation(one: Json, images: Mapping[object, Json]) -> bool:
    """Mend an annotation's segmentation in place; whether its box had to be taken."""
    image = images.get(one['image_id'])
    if image is None:
        return False
    what = f'annotation {one["id"]} of image {one["image_id"]}'
    if 'file_name' in image:
        what += f' ({image["file_name"]})'
    polygons = one['segmentation']
    if isinstance(polygons, list):
        polygons = [one for one in polygons if not _is_degenerate(one)]
    boxed = polygons in ([], None, {})
    if boxed:
        polygons = [_box_polygon(one.get('bbox'), what)]
    check_segmentation(polygons, (image['height'], image['width']), what)
    one['segmentation'] = polygons
    return boxed


def _is_degenerate(polygon: object) -> bool:
    """Whether a polygon has one point or two, as a click by mistake leaves it."""
    return (
        isinstance(polygon, list)
        and len(polygon) < _SMALLEST
        and len(polygon) % 2 == 0
        and all(isinstance(number, int | float) for number in polygon)
    )


def _box_polygon(box: object, what: str) -> list[float]:
    if not (
        isinstance(box, list)
        and [type(number) in (int, float) for number in box] == [True] * 4
        and min(box[2:]) > 0
    ):
        raise ValueError(f'{what} has neither a segmentation nor a bbox of x, y, width, height')
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]
