"""How well instances keep their identity: CLEAR MOT (Bernardin & Stiefelhagen 2008), IDF1."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from surgseg_ros.tracking.instance_tracker import mask_iou


@dataclass(frozen=True)
class TrackingMetrics:
    """truths, misses, false_positives: instances over all frames.

    identity_switches: how often a true instance was found under another id than when it was last
    found. mota: 1 - (misses + false_positives + identity_switches) / truths. idf1: F1 of the
    instances that have the right id, where every true instance owns at most one id and the other
    way round, as is best (Ristani et al. 2016, section 3). NaN without truths.
    """

    truths: int
    misses: int
    false_positives: int
    identity_switches: int
    mota: float
    idf1: float


class TrackingScore:
    """Takes frame after frame. threshold: IoU from which on a mask is that of a true one."""

    def __init__(self, threshold: float = 0.5) -> None:
        self._threshold = threshold
        self._truths = self._found = self._matched = self._switches = 0
        self._latest: dict[int, int] = {}  # id of each true instance
        self._together: Counter[tuple[int, int]] = Counter()  # frames of (true instance, id)

    def add(
        self, true_ids: np.ndarray, true_masks: np.ndarray, ids: np.ndarray, masks: np.ndarray
    ) -> None:
        """Take one frame: ids N and masks N x H x W bool, those that are and those found."""
        overlap = mask_iou(true_masks, masks)
        allowed = overlap >= self._threshold
        truths, found = true_ids.tolist(), ids.tolist()
        self._together.update((truths[i], found[j]) for i, j in np.argwhere(allowed))
        # a pair of the frame before stays one, however well another would fit
        kept = np.array(
            [[self._latest.get(truth) == one for one in found] for truth in truths], bool
        ).reshape(overlap.shape)
        rows, columns = linear_sum_assignment(np.where(allowed, overlap + kept, 0), maximize=True)
        for i, j in zip(rows, columns, strict=True):
            if allowed[i, j]:
                self._matched += 1
                self._switches += self._latest.get(truths[i], found[j]) != found[j]
                self._latest[truths[i]] = found[j]
        self._truths += len(truths)
        self._found += len(found)

    def metrics(self) -> TrackingMetrics:
        """Figures of all frames so far."""
        misses, extra = self._truths - self._matched, self._found - self._matched
        nan = float('nan')
        return TrackingMetrics(
            self._truths,
            misses,
            extra,
            self._switches,
            1 - (misses + extra + self._switches) / self._truths if self._truths else nan,
            2 * self._rightly_named() / (self._truths + self._found) if self._truths else nan,
        )

    def _rightly_named(self) -> int:
        """Frames of instances with the right id, under the best one-to-one naming."""
        truths, ids = ({pair[side]: None for pair in self._together} for side in (0, 1))
        table = np.array([[self._together[truth, one] for one in ids] for truth in truths])
        table = table.reshape(len(truths), len(ids))
        return int(table[linear_sum_assignment(table, maximize=True)].sum())
