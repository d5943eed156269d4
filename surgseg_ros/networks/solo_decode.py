"""From SOLO's masks and scores to instances, for predictors and training. No torch.

Wang et al., "SOLO: Segmenting Objects by Locations", ECCV 2020, arXiv:1912.04488, section 3.
Matrix NMS: Wang et al., "SOLOv2", NeurIPS 2020, arXiv:2003.10152, section 3.3.

Nothing here is a matrix product: the threads of BLAS wait for each other, and beside those of a
network's backend a product of 1 ms takes 50.
"""

from typing import NamedTuple

import numpy as np

from surgseg_ros.networks.solo_masks import enlarge

GRIDS = (40, 36, 24, 16, 12)  # cells per side, by level of the pyramid
STRIDES = (8, 8, 16, 32, 32)  # px of the input per pixel of a level's mask features
KERNELS = ('gaussian', 'linear')
SCORE_THRESHOLD = 0.1  # of a category, as published, in validation too
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
    score_threshold: float = SCORE_THRESHOLD,
    mask_threshold: float = 0.5,
    final_threshold: float = 0.05,
    kernel: str = 'gaussian',
    most: int = 100,
) -> Instances:
    """Choose and enlarge the masks of one image, as published; the best instance comes first.

    masks: K x h x w float32 probabilities at 1/4 of the network's input, one per cell. scores:
    K x C float32 category scores of the cells. counts: cells of each level, together K.
    content: (height, width) px of the input that are image and not padding, all by default.
    size: (height, width) of the result, by default that of the content. score_threshold: of a
    category score; final_threshold: of a score after Matrix NMS; mask_threshold: of a pixel.
    kernel: of Matrix NMS, 'gaussian' or 'linear'. most: instances kept.
    """
    content = content or (4 * masks.shape[1], 4 * masks.shape[2])
    strides = np.repeat(STRIDES, counts)
    best = scores.max(axis=1)
    cells = np.flatnonzero((best > score_threshold) & (best >= final_threshold))
    masks, scores = masks[cells], scores[cells]
    inside = masks > mask_threshold
    areas = np.count_nonzero(inside, axis=(1, 2))
    scores = np.where(areas[:, None] > strides[cells, None], scores, 0)
    cell, label = np.nonzero(scores > score_threshold)
    maskness = np.einsum('khw,khw->k', masks, inside) / np.maximum(areas, 1)
    score = (scores[cell, label] * maskness[cell]).astype(np.float32)

    # what is below final_threshold here stays so, and lowers the score of nothing better
    order = np.argsort(-score, kind='stable')[:_MOST_CANDIDATES]
    order = order[score[order] >= final_threshold]
    cell, label = cell[order], label[order]
    score = matrix_nms(inside[cell], label, score[order], kernel)

    order = np.argsort(-score, kind='stable')[:most]
    order = order[score[order] >= final_threshold]
    frames = np.zeros((len(order), *(size or content)), bool)
    kept: list[int] = []
    for index in order:
        if enlarge(masks[cell[index]], mask_threshold, content, frames[len(kept)]):
            kept.append(index)  # else it is in the padding, and leaves its frame empty
    return Instances(label[kept], score[kept], frames[: len(kept)])


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
    bits = _packed(masks)
    decay = np.ones(len(masks), np.float32)
    for label in np.unique(labels):
        same = np.flatnonzero(labels == label)
        decay[same] = _decay(_intersection_over_union(bits[same]), kernel)
    return scores * decay


def _decay(overlap: np.ndarray, kernel: str) -> np.ndarray:
    """Of masks of one class, from their IoU n x n: n float32."""
    overlap = np.triu(overlap, k=1)
    compensation = overlap.max(axis=0)[:, None]
    if kernel == 'gaussian':
        decay = np.exp(_SIGMA * (compensation**2 - overlap**2))
    else:
        # a duplicate (IoU 1) counts for nothing and suppresses nothing: its row is infinite
        decay = np.full_like(overlap, np.inf)
        np.divide(1 - overlap, 1 - compensation, out=decay, where=compensation < 1)
    least: np.ndarray = decay.min(axis=0, initial=1)
    return least


def _packed(masks: np.ndarray) -> np.ndarray:
    """Bits of masks n x h x w bool in words, the last one filled up with 0: n x words uint64."""
    octets = np.packbits(masks.reshape(len(masks), np.prod(masks.shape[1:])), axis=1)
    return np.pad(octets, ((0, 0), (0, -octets.shape[1] % 8))).view(np.uint64)


def _intersection_over_union(bits: np.ndarray) -> np.ndarray:
    """Of every pair of masks, from their bits n x words: n x n float32."""
    areas = bit_count(bits).sum(axis=1, dtype=np.int32)
    met = np.ascontiguousarray(bits[:, np.count_nonzero(bits, axis=0) > 1].T)
    intersection = np.zeros((len(bits), len(bits)), np.int32)
    for word in met:  # of all masks: 64 pixels of every pair at once
        intersection += bit_count(word[:, None] & word)
    np.fill_diagonal(intersection, areas)
    union = areas[:, None] + areas - intersection
    overlaps: np.ndarray = (intersection / np.maximum(union, 1)).astype(np.float32)
    return overlaps


def bit_count_by_table(words: np.ndarray) -> np.ndarray:
    """Number of ones in each uint64, as np.bitwise_count of numpy 2."""
    octets = np.ascontiguousarray(words)[..., None].view(np.uint8)
    counts: np.ndarray = _ONES[octets].sum(axis=-1, dtype=np.uint8)
    return counts


_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
bit_count = getattr(np, 'bitwise_count', bit_count_by_table)
