"""COCO's average precision of instance masks, by pycocotools (cocodataset.org/#detection-eval).

Truth and detections are COCO's own JSON structures; records() makes them from arrays.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surgseg_ros.metrics.coco_checks import Json, check_detections, encode
from surgseg_ros.metrics.coco_cleaning import clean_ids, clean_truth

_Sizes = Mapping[object, tuple[int, int]]  # (height, width) px by image id


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


def average_precision(truth: Mapping[str, object], detections: Sequence[Json]) -> InstanceMetrics:
    """Evaluate detections as pycocotools does, at most 100 per image.

    truth: COCO's annotation file as a dict. detections: COCO's list of results with
    'segmentation'; one with a 'bbox' has the size of its box, as for pycocotools. Raises
    ValueError with one sentence where they are something else.
    """
    from pycocotools.cocoeval import COCOeval

    known, _ = load_truth(truth)
    if isinstance(detections, list) and all(isinstance(one, dict) for one in detections):
        detections = clean_ids(detections)
    check_detections(detections, known.imgs, known.cats)
    content: Json = known.dataset
    sizes = {key: (image['height'], image['width']) for key, image in known.imgs.items()}
    judged = (_annotations(content['annotations'], sizes), _results(detections, sizes))
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        evaluation = COCOeval(*(_coco({**content, 'annotations': one}) for one in judged), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = [float(figure) if figure >= 0 else float('nan') for figure in evaluation.stats[:6]]
    return InstanceMetrics(*figures)


def load_truth(truth: object) -> tuple[Any, tuple[str, ...]]:
    """Return pycocotools' COCO of an annotation file's content, and what was changed.

    ValueError if it is invalid. See coco_cleaning.
    """
    cleaned, notes = clean_truth(truth)
    return _coco(cleaned), notes


def coco_truth(
    sizes: Sequence[tuple[int, int]], annotations: Sequence[Json], class_names: Sequence[str]
) -> Json:
    """An annotation file's content.

    sizes: (height, width) px of images 1, 2, ... annotations: from records(), of all of them.
    class_names: by class id, which becomes the category id; the background is left out.
    """
    return {
        'images': [
            {'id': number, 'height': height, 'width': width}
            for number, (height, width) in enumerate(sizes, 1)
        ],
        'annotations': [{**one, 'id': number} for number, one in enumerate(annotations, 1)],
        'categories': [
            {'id': number, 'name': name} for number, name in enumerate(class_names) if number
        ],
    }


def records(
    image_id: int,
    class_ids: np.ndarray,
    masks: np.ndarray,
    scores: np.ndarray | None = None,
    crowd: bool = False,
) -> list[Json]:
    """COCO's records of an image's instances: detections with scores, annotations without.

    class_ids: N. masks: N x H x W bool, stored run-length encoded. scores: N. crowd: are the
    annotations regions of several instances, in which detections are neither right nor wrong?
    """
    from pycocotools import mask as codec

    encoded = codec.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
    found = [
        {
            'image_id': image_id,
            'category_id': int(class_id),
            'segmentation': {**one, 'counts': one['counts'].decode()},
        }
        for class_id, one in zip(class_ids, encoded, strict=True)
    ]
    if scores is not None:  # no box, because pycocotools would take sizes from it
        return [{**one, 'score': float(s)} for one, s in zip(found, scores, strict=True)]
    areas, boxes = codec.area(encoded), codec.toBbox(encoded)
    return [
        {**one, 'area': float(area), 'bbox': box.tolist(), 'iscrowd': int(crowd)}
        for one, area, box in zip(found, areas, boxes, strict=True)
    ]


def _annotations(given: Sequence[Json], sizes: _Sizes) -> list[Json]:
    """The annotations of these images, with what others than COCO leave out.

    They are numbered from 1, because pycocotools ignores matches with annotation 0.
    """
    from pycocotools import mask as codec

    judged = []
    for number, one in enumerate(given, 1):
        if one['image_id'] in sizes:
            encoded = encode(
                one['segmentation'], sizes[one['image_id']], f'annotation {one["id"]}'
            )
            judged.append(
                {
                    'iscrowd': 0,
                    'area': float(codec.area(encoded)),
                    **one,
                    'segmentation': encoded,
                    'id': number,
                }
            )
    return judged


def _results(given: Sequence[Json], sizes: _Sizes) -> list[Json]:
    """Detections as pycocotools' loadRes makes them, which cannot load none, nor polygons."""
    from pycocotools import mask as codec

    judged = []
    for index, one in enumerate(given):
        encoded = encode(one['segmentation'], sizes[one['image_id']], f'detection {index}')
        width, height = one['bbox'][2:] if one.get('bbox') else (1, codec.area(encoded))
        judged.append(
            {
                **one,
                'segmentation': encoded,
                'area': float(width * height),
                'iscrowd': 0,
                'id': index + 1,
            }
        )
    return judged


def _coco(content: Mapping[str, object]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = dict(content)
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
