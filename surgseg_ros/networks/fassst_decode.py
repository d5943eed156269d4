"""From FASSST's boxes, scores and masks to instances, for predictors and training. No torch.

The paper does not say how several boxes of one instance become one: by non-maximum suppression
of the boxes of a class, as in YOLOv3, which it follows (section 3.2).
"""

from typing import NamedTuple

import cv2
import numpy as np

SCORE_THRESHOLD = 0.05  # of a class, in validation: low, for average precision


class Instances(NamedTuple):
    """class_ids: k int64, from 1. scores: k float32. masks: k x H x W bool, none of them empty."""

    class_ids: np.ndarray
    scores: np.ndarray
    masks: np.ndarray


def decode(
    boxes: np.ndarray,
    scores: np.ndarray,
    masks: np.ndarray,
    size: tuple[int, int],
    score_threshold: float = SCORE_THRESHOLD,
    mask_threshold: float = 0.5,
    overlap: float = 0.5,
) -> Instances:
    """Choose instances of one frame and paste their masks into it; the best comes first.

    boxes n x 4, scores n x C, masks n x h x w: as networks.fassst gives them. size: (height,
    width) px of the frame. score_threshold: of a class; mask_threshold: probability of a pixel.
    overlap: intersection over union from which on the better box of a class suppresses another.
    """
    classes, best = scores.argmax(axis=1), scores.max(axis=1)
    order = np.argsort(-best, kind='stable')
    order = order[best[order] > score_threshold]
    order = order[keep_best(boxes[order], classes[order], overlap)]
    with np.errstate(divide='ignore'):  # 0 is everything, 1 nothing
        logit = np.log(mask_threshold) - np.log1p(-mask_threshold)
    pasted = np.zeros((len(order), *size), bool)
    for one, index in zip(pasted, order, strict=True):
        paste(masks[index], boxes[index], logit, one)
    seen = pasted.any(axis=(1, 2))
    order = order[seen]
    return Instances(classes[order].astype(np.int64) + 1, best[order], pasted[seen])


def keep_best(boxes: np.ndarray, classes: np.ndarray, overlap: float) -> np.ndarray:
    """Which boxes k x 4, the best first, no better kept box of their class suppresses: k bool."""
    suppresses = (box_overlaps(boxes) > overlap) & (classes[:, None] == classes)
    keep = np.ones(len(boxes), bool)
    for index in range(len(boxes)):
        keep[index] = not (suppresses[:index, index] & keep[:index]).any()
    return keep


def box_overlaps(boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of boxes k x 4 (x0 y0 x1 y1): k x k."""
    low = np.maximum(boxes[:, None, :2], boxes[:, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    intersection = (high - low).clip(min=0).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
    overlaps: np.ndarray = intersection / np.maximum(areas[:, None] + areas - intersection, 1e-9)
    return overlaps


def paste(mask: np.ndarray, box: np.ndarray, threshold: float, frame: np.ndarray) -> None:
    """Set the pixels of frame H x W bool, within the box (fractions), where the mask is higher.

    mask: h x w float32 over the box; bilinear between the centres of its bins.
    """
    height, width = frame.shape
    left, top, right, bottom = box * (width, height, width, height)
    x0, y0, x1, y1 = np.ceil(np.array((left, top, right, bottom)) - 0.5).astype(int)
    if x1 <= x0 or y1 <= y0:
        return  # no pixel's centre is inside
    wide, high = (right - left) / mask.shape[1], (bottom - top) / mask.shape[0]
    # the centres of pixels and bins lie at half integers, OpenCV's coordinates at integers
    from_bins = np.array(
        [[wide, 0, left + wide / 2 - 0.5 - x0], [0, high, top + high / 2 - 0.5 - y0]]
    )
    inside = cv2.warpAffine(
        mask,
        from_bins,
        (int(x1 - x0), int(y1 - y0)),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    frame[y0:y1, x0:x1] = inside > threshold
