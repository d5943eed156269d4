"""Separates instruments in labels that do not distinguish them."""

import cv2
import numpy as np

from surgseg_ros.frames.parts import Part, part_named
from surgseg_ros.frames.results import InstanceResult, mask_boxes

UNLABELLED = 255
SMALLEST = 0.0006  # share of the picture; smaller regions are no instruments


def labelled_instances(labels: np.ndarray, class_names: tuple[str, ...]) -> InstanceResult:
    """Connected regions of HxW uint8 labels: 0 background, 255 unlabelled.

    class_names: by label, () where unknown. Names of parts become parts, others the class.
    """
    tool = (labels > 0) & (labels != UNLABELLED)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(tool.astype(np.uint8))
    least = SMALLEST * labels.size
    kept = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= least]
    masks = np.zeros((len(kept), *labels.shape), bool)
    for mask, number in zip(masks, kept, strict=True):
        mask[:] = pieces == number
    names = class_names or ('background', 'instrument')
    told = [part_named(name) for name in names]
    has_parts = bool(set(told) - {Part.UNKNOWN})
    ids = np.array([_class_of(labels[mask], len(names), has_parts) for mask in masks], np.int64)
    return InstanceResult(
        ids,
        np.ones(len(kept), np.float32),
        mask_boxes(masks),
        masks,
        _parts(labels, masks, told) if has_parts else None,
        ('background', 'instrument') if has_parts else names,
    )


def _class_of(values: np.ndarray, count: int, has_parts: bool) -> int:
    """Most frequent label of a region; parts do not determine the class."""
    if has_parts:
        return 1
    return min(int(np.bincount(values).argmax()), count - 1)


def _parts(labels: np.ndarray, masks: np.ndarray, told: list[Part]) -> np.ndarray:
    table = np.full(256, Part.UNKNOWN, np.uint8)
    table[: len(told)] = told
    parts: np.ndarray = masks * table[labels]
    return parts
