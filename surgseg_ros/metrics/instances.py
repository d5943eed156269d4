"""COCO's average precision of instance masks, by pycocotools (cocodataset.org/#detection-eval).

Truth and detections are COCO's own JSON structures; records() makes them from arrays.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Json = dict[str, Any]


@dataclass(frozen=True)
class InstanceMetrics:
    """Average precision, 0 to 1; NaN where there is no such instance in the truth.

    ap: mean over IoU thresholds 0.5, 0.55 ... 0.95; ap50, ap75: at one. ap_small, ap_medium,
    ap_large: of instances below 32^2 px, up to 96^2 px, above.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float


def average_precision(truth: Mapping[str, Any], detections: Sequence[Json]) -> InstanceMetrics:
    """Judge detections as pycocotools does, at most 100 an image.

    truth: COCO's annotation file as a dict. detections: COCO's list of results with
    'segmentation'. Raises ValueError with one sentence where they are something else.
    """
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        known = load_truth(truth)
        evaluation = COCOeval(known, _load_detections(known, detections), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = [float(figure) if figure >= 0 else float('nan') for figure in evaluation.stats[:6]]
    return InstanceMetrics(*figures)


def load_truth(truth: Mapping[str, Any]) -> Any:
    """Return pycocotools' COCO of an annotation file's content; ValueError if it is none."""
    from pycocotools.coco import COCO

    if not isinstance(truth, Mapping):
        raise ValueError(f'COCO annotations are a {type(truth).__name__}, expected images, '
                         'annotations and categories by name')
    missing = [key for key in ('images', 'annotations', 'categories') if key not in truth]
    if missing:
        raise ValueError(f'COCO annotations have no {missing[0]!r}, expected images, annotations '
                         'and categories')
    known = COCO()
    known.dataset = dict(truth)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            known.createIndex()
        except (KeyError, TypeError) as error:
            raise ValueError(f'COCO annotations are broken: {error!r}') from error
    return known


def coco_truth(
    sizes: Sequence[tuple[int, int]], annotations: Sequence[Json], class_names: Sequence[str]
) -> Json:
    """An annotation file's content.

    sizes: (height, width) px of images 1, 2, ... annotations: from records(), of all of them.
    class_names: by class id, which becomes the category id; the background is left out.
    """
    return {
        'images': [{'id': number, 'height': height, 'width': width}
                   for number, (height, width) in enumerate(sizes, 1)],
        'annotations': [{**one, 'id': number} for number, one in enumerate(annotations, 1)],
        'categories': [{'id': number, 'name': name}
                       for number, name in enumerate(class_names) if number],
    }


def records(
    image_id: int, class_ids: np.ndarray, masks: np.ndarray, scores: np.ndarray | None = None
) -> list[Json]:
    """COCO's records of an image's instances: detections with scores, annotations without.

    class_ids: N. masks: N x H x W bool, stored run-length encoded. scores: N.
    """
    from pycocotools import mask as codec

    encoded = codec.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
    areas, boxes = codec.area(encoded), codec.toBbox(encoded)
    found = [
        {
            'image_id': image_id,
            'category_id': int(class_id),
            'segmentation': {**one, 'counts': one['counts'].decode()},
            'area': float(area),
            'bbox': box.tolist(),
            'iscrowd': 0,
        }
        for class_id, one, area, box in zip(class_ids, encoded, areas, boxes, strict=True)
    ]
    if scores is not None:
        return [{**one, 'score': float(s)} for one, s in zip(found, scores, strict=True)]
    return found


def _load_detections(known: Any, detections: Sequence[Json]) -> Any:
    if not isinstance(detections, list) or not all(isinstance(one, dict) for one in detections):
        raise ValueError("detections are not COCO's: expected a list of results")
    for index, one in enumerate(detections):
        for key in ('image_id', 'category_id', 'segmentation', 'score'):
            if key not in one:
                raise ValueError(f'detection {index} has no {key!r}')
        if one['image_id'] not in known.imgs:
            raise ValueError(f'detection {index} is of image {one["image_id"]}, which the truth '
                             'does not have')
    if not detections:  # pycocotools cannot load none
        from pycocotools.coco import COCO

        empty = COCO()
        empty.dataset = {**known.dataset, 'annotations': []}
        empty.createIndex()
        return empty
    return known.loadRes([dict(one) for one in detections])
