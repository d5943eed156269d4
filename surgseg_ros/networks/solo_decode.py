"""From SOLO's masks and scores to instances. numpy only: predictors and training share it.

Wang et al., "SOLO: Segmenting Objects by Locations", ECCV 2020, arXiv:1912.04488, section 3.
Matrix NMS: Wang et al., "SOLOv2", NeurIPS 2020, arXiv:2003.10152, section 3.3.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

GRIDS = (40, 36, 24, 16, 12)  # cells per side, by level of the pyramid
STRIDES = (8, 8, 16, 32, 32)  # px of the input per pixel of a level's mask features
KERNELS = ('gaussian', 'linear')
_SIGMA = 2.0  # of the Gaussian decay
_MOST_CANDIDATES = 500  # that enter Matrix NMS


class Instances(NamedTuple):
    """labels: n int64, foreground classes from 0. scores: n float32. masks: n x H x W bool."""

    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray


def cells_per_level(candidates: int, grids: tuple[int, ...]) -> list[int]:
    """How many cells of each level have masks where the best `candidates` of each are taken."""
    return [min(candidates, side * side) for side in grids]


def decode(
    masks: np.ndarray,
    scores: np.ndarray,
    counts: list[int],
    content: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
    score_threshold: float = 0.1,
    mask_threshold: float = 0.5,
    final_threshold: float = 0.05,
    kernel: str = 'gaussian',
    most: int = 100,
) -> Instances:
    """Choose and enlarge the masks of one image; the best instance comes first.

    masks: K x h x w float32 probabilities at 1/4 of the network's input, one per cell. scores:
    K x C float32 category scores of the cells. counts: cells of each level, together K.
    content: (height, width) px of the input that are image and not padding, all by default.
    size: (height, width) of the result, by default that of the content. score_threshold: of a
    category score; final_threshold: of a score after Matrix NMS; mask_threshold: of a pixel.
    kernel: of Matrix NMS, 'gaussian' or 'linear'. most: instances kept.
    """
    strides = np.repeat(STRIDES, counts)
    cells = np.flatnonzero(scores.max(axis=1) > score_threshold)
    masks, scores = masks[cells], scores[cells]
    inside = masks > mask_threshold
    areas = np.count_nonzero(inside, axis=(1, 2))
    scores = np.where(areas[:, None] > strides[cells, None], scores, 0)
    cell, label = np.nonzero(scores > score_threshold)
    maskness = np.einsum('khw,khw->k', masks, inside) / np.maximum(areas, 1)
    score = (scores[cell, label] * maskness[cell]).astype(np.float32)

    order = np.argsort(-score, kind='stable')[:_MOST_CANDIDATES]
    cell, label = cell[order], label[order]
    score = matrix_nms(inside[cell], label, score[order], kernel)

    order = np.argsort(-score, kind='stable')[:most]
    order = order[score[order] >= final_threshold]
    enlarged = _enlarge(masks[cell[order]], content, size) > mask_threshold
    seen = enlarged.any(axis=(1, 2))  # and not all in the padding
    return Instances(label[order[seen]], score[order[seen]], enlarged[seen])


def matrix_nms(
    masks: np.ndarray, labels: np.ndarray, scores: np.ndarray, kernel: str = 'gaussian'
) -> np.ndarray:
    """Lower the score of every mask by its overlap with better ones of its class (n float32).

    masks: n x h x w bool; labels, scores: n; the best score first. The decay of j is the least
    over its betters i of f(IoU_ij) / f(IoU_i), where IoU_i is the largest of i with its own
    betters: who is suppressed itself suppresses less. f is exp(-2 IoU^2) or 1 - IoU.
    """
    if kernel not in KERNELS:
        raise ValueError(f'Matrix NMS has no kernel {kernel!r}, expected one of gaussian, linear')
    overlap = np.triu(_intersection_over_union(masks), k=1)
    overlap *= labels[:, None] == labels[None]
    compensation = overlap.max(axis=0, initial=0)[:, None]
    if kernel == 'gaussian':
        decay = np.exp(_SIGMA * (compensation**2 - overlap**2))
    else:
        # a duplicate (IoU 1) counts for nothing and suppresses nothing: its row is infinite
        decay = np.full_like(overlap, np.inf)
        np.divide(1 - overlap, 1 - compensation, out=decay, where=compensation < 1)
    return scores * decay.min(axis=0, initial=1).astype(np.float32)


def _intersection_over_union(masks: np.ndarray) -> np.ndarray:
    """Of every pair: n x h x w bool -> n x n float32."""
    flat = masks.astype(np.float32).reshape(len(masks), np.prod(masks.shape[1:]))
    intersection = flat @ flat.T
    areas = intersection.diagonal()
    union = areas[:, None] + areas[None] - intersection
    return intersection / np.maximum(union, 1)


def _enlarge(
    masks: np.ndarray, content: tuple[int, int] | None, size: tuple[int, int] | None
) -> np.ndarray:
    """Probabilities n x h x w -> n x H x W: up 4 times, crop to the content, resize, as published.

    Both steps are linear along an axis at a time, so they are one matrix per axis.
    """
    content = content or (4 * masks.shape[1], 4 * masks.shape[2])
    rows, columns = (
        _resampling(before, inner, after)
        for before, inner, after in zip(masks.shape[1:], content, size or content, strict=True)
    )
    return rows @ (masks @ columns.T)


@lru_cache(maxsize=8)
def _resampling(before: int, content: int, after: int) -> np.ndarray:
    return _bilinear(content, after) @ _bilinear(before, 4 * before)[:content]


def _bilinear(before: int, after: int) -> np.ndarray:
    """Weights after x before of bilinear resizing, pixel centres at half integers."""
    positions = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    distances = np.abs(positions[:, None] - np.arange(before))
    return np.maximum(1 - distances, 0).astype(np.float32)
