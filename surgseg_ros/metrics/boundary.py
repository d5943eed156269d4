"""How well outlines agree: boundary F1 (Csurka et al., BMVC 2013, section 3)."""

import cv2
import numpy as np

from surgseg_ros.metrics.segmentation import UNLABELLED

TOLERANCE = 0.0075  # of the image's diagonal, as there


def boundary_f1(
    prediction: np.ndarray, truth: np.ndarray, num_classes: int, tolerance: float = TOLERANCE
) -> np.ndarray:
    """F1 of precision and recall of the outlines of each class of one image, C float64.

    prediction, truth: HxW uint8 class ids. An outline pixel is right if one of the other outline
    is within tolerance x diagonal px. NaN where neither has the class, 0 where one of both has.
    Pixels that the truth leaves unlabelled are background in both.
    """
    reach = tolerance * float(np.hypot(*truth.shape))
    known = truth != UNLABELLED
    scores = np.full(num_classes, np.nan)
    for class_id in range(num_classes):
        found, true = (
            np.where(known, one == class_id, class_id == 0) for one in (prediction, truth)
        )
        if found.any() or true.any():
            scores[class_id] = _f1(found, true, reach)
    return scores


def _f1(prediction: np.ndarray, truth: np.ndarray, reach: float) -> float:
    if not (prediction.any() and truth.any()):
        return 0.0
    outlines = [_outline(mask) for mask in (prediction, truth)]
    if not any(outline.any() for outline in outlines):  # both fill the image
        return 1.0
    precision = _share_near(outlines[0], outlines[1], reach)
    recall = _share_near(outlines[1], outlines[0], reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that touch another one; the edge of the image is no outline."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outline: np.ndarray = mask & (cv2.erode(mask.astype(np.uint8), cross) == 0)
    return outline


def _share_near(outline: np.ndarray, other: np.ndarray, reach: float) -> float:
    """Share of the pixels of an outline that are within reach of another one."""
    if not (outline.any() and other.any()):
        return 0.0
    distance = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[outline] <= reach).mean())
