"""How well instances keep their identity: CLEAR MOT, IDF1 and HOTA, computed by TrackEval."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from surgseg_ros.tracking.instance_tracker import mask_iou


@dataclass(frozen=True)
class TrackingMetrics:
    """truths, misses, false_positives: instances over all frames.

    identity_switches: how often a true instance was found under another id than when it was last
    found. mota: 1 - (misses + false_positives + identity_switches) / truths (Bernardin &
    Stiefelhagen 2008). idf1: F1 of the instances that have the right id, where every true
    instance owns at most one id and the other way round, as is best (Ristani et al. 2016,
    section 3). hota: geometric mean of detection and association accuracy (det_a, ass_a), mean
    over the IoU thresholds 0.05 to 0.95 (Luiten et al., IJCV 2021). NaN without truths.
    """

    truths: int
    misses: int
    false_positives: int
    identity_switches: int
    mota: float
    idf1: float
    hota: float
    det_a: float
    ass_a: float


class TrackingScore:
    """Takes successive frames. threshold: least IoU with a true mask for a match."""

    def __init__(self, threshold: float = 0.5) -> None:
        self._threshold = threshold
        self._numbers: dict[str, Any] = {side: defaultdict(count().__next__) for side in _SIDES}
        self._frames: dict[str, list[np.ndarray]] = {key: [] for key in (*_SIDES, 'overlaps')}
        self._untracked = count()

    def add(
        self, true_ids: np.ndarray, true_masks: np.ndarray, ids: np.ndarray, masks: np.ndarray
    ) -> None:
        """Take one frame: ids N and masks N x H x W bool, those that are and those found.

        A found one with id 0 is not tracked: it has an id that no other frame has.
        """
        names = [one or ('untracked', next(self._untracked)) for one in ids.tolist()]
        for side, found in zip(_SIDES, (true_ids.tolist(), names), strict=True):
            numbers = self._numbers[side]
            self._frames[side].append(np.array([numbers[one] for one in found], int))
        self._frames['overlaps'].append(mask_iou(true_masks, masks))

    def metrics(self) -> TrackingMetrics:
        """Figures of all frames so far."""
        from trackeval.metrics import CLEAR, HOTA, Identity

        data, options = self._data(), {'THRESHOLD': self._threshold, 'PRINT_CONFIG': False}
        clear, identity = CLEAR(options).eval_sequence(data), Identity(options).eval_sequence(data)
        hota = HOTA().eval_sequence(data)
        known = data['num_gt_dets'] > 0
        return TrackingMetrics(
            data['num_gt_dets'],
            int(clear['CLR_FN']),
            int(clear['CLR_FP']),
            int(clear['IDSW']),
            *(
                float(np.mean(value)) if known else float('nan')
                for value in (
                    clear['MOTA'],
                    identity['IDF1'],
                    hota['HOTA'],
                    hota['DetA'],
                    hota['AssA'],
                )
            ),
        )

    def _data(self) -> dict[str, Any]:
        """As TrackEval takes a sequence; ids count from 0 without gaps."""
        counts = {}
        for side in _SIDES:
            counts[f'num_{side}_ids'] = len(self._numbers[side])
            counts[f'num_{side}_dets'] = sum(map(len, self._frames[side]))
        return {
            **counts,
            **{f'{side}_ids': self._frames[side] for side in _SIDES},
            'num_timesteps': len(self._frames['overlaps']),
            'similarity_scores': self._frames['overlaps'],
        }


_SIDES = ('gt', 'tracker')
