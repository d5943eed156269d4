"""Stereo accuracy as benchmarks define it: treatment of holes, choice of frames, averaging.

A hole is a pixel with ground truth for which a method gives no disparity. Coverage always stands
apart.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StereoProtocol:
    """definition: in one sentence.

    holes_are_zero: a hole counts as disparity 0; else holes are left out.
    least_coverage: share of the pixels that need ground truth, below which a frame is skipped.
    by_dataset: frames are averaged by keyframe, keyframes by dataset, and these once more.
    missing_depth: m, stands for the depth of a disparity that is not positive; None leaves it out.
    """

    definition: str
    holes_are_zero: bool = False
    least_coverage: float = 0.0
    by_dataset: bool = False
    missing_depth: float | None = None

    def prepared(self, disparity: np.ndarray) -> np.ndarray:
        """HxW disparity as it is compared, px: NaN is left out."""
        if not self.holes_are_zero:
            return disparity
        known: np.ndarray = np.maximum(np.nan_to_num(disparity, nan=0.0), 0.0)
        return known

    def counts(self, truth: np.ndarray) -> bool:
        """Whether a frame with this truth (NaN unknown) counts."""
        return bool(np.isfinite(truth).mean() >= self.least_coverage)


PROTOCOLS = {
    'valid': StereoProtocol(
        'pixels where both truth and disparity are known, mean per frame, mean over frames'
    ),
    'holes_as_zero': StereoProtocol(
        'pixels with truth, a hole counts as disparity 0, mean per frame, mean over frames',
        holes_are_zero=True,
    ),
    'scared_loose': StereoProtocol(
        'as MSDESIS evaluates SCARED: frames with truth for 7 % of the pixels, holes and '
        'negative disparity count as 0 px and 40 mm, mean per keyframe, then dataset; not the '
        "challenge's",
        holes_are_zero=True,
        least_coverage=0.07,
        by_dataset=True,
        missing_depth=0.040,
    ),
}
