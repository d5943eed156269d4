"""SCARED's own protocol: depth in the image that the camera took (Allan et al., 2101.01133)."""

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from surgseg_ros.evaluation.evaluators import without_nan
from surgseg_ros.evaluation.tables import Table
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.geometry.original_frame import depth_in_original_frame
from surgseg_ros.metrics.segmentation import known_mean

LEAST_COVERAGE = 0.10  # share of the pixels with truth, below which a frame is left out
WRONG_CALIBRATION = ('dataset_4', 'dataset_5')
DEFINITION = (
    'SCARED: mean |depth error| in mm in the original left image, frames with truth for 10 % of '
    'the pixels, missing depth counts as 0 mm, mean per keyframe, then per dataset'
)


class DepthSample(NamedTuple):
    """name: DATASET/KEYFRAME/FRAME. depth: HxW float m in the original left image, NaN unknown.

    calibration: of the raw cameras, from which the pair was rectified.
    """

    name: str
    depth: np.ndarray
    calibration: StereoCalibration


class ScaredEvaluator:
    """An Evaluator of StereoResult, disparity of the rectified pair, on DepthSample.

    wrong_calibration: include datasets 4 and 5, whose calibration is known to be wrong.
    """

    def __init__(self, wrong_calibration: bool = False) -> None:
        self._take_all = wrong_calibration
        self._errors: dict[str, list[float]] = defaultdict(list)  # mm, by keyframe
        self._assessed: list[float] = []
        self._skipped = 0

    def add(self, frame: DepthSample, result: StereoResult) -> None:
        """Judge one frame; ValueError if sizes differ or its dataset's calibration is wrong."""
        folders = frame.name.split('/')[:-1]
        wrong = next((one for one in folders if one in WRONG_CALIBRATION), '')
        if wrong and not self._take_all:
            raise ValueError(
                f'{frame.name}: the calibration of {wrong} is wrong, which makes its figures '
                'meaningless: leave it out, or ask for it with --wrong-calibration'
            )
        known = np.isfinite(frame.depth)
        if known.mean() < LEAST_COVERAGE:
            self._skipped += 1
            return
        try:
            found = depth_in_original_frame(result.disparity, frame.calibration)
        except ValueError as error:
            raise ValueError(f'{frame.name}: {error}') from error
        if found.shape != known.shape:
            raise ValueError(f'{frame.name}: the depth is {known.shape}, the image {found.shape}')
        self._assessed.append(float(np.isfinite(found[known]).mean()))
        off = np.abs(np.nan_to_num(found[known]) - frame.depth[known])
        self._errors['/'.join(folders)].append(1000 * float(off.mean()))

    def figures(self) -> dict[str, Any]:
        """See Evaluator; depth_mae in mm, also per keyframe and dataset."""
        if not self._errors:
            raise ValueError('there was no frame with depth for 10 % of its pixels')
        keyframes = {name: known_mean(errors) for name, errors in self._errors.items()}
        datasets: dict[str, list[float]] = defaultdict(list)
        for name, error in keyframes.items():
            datasets[name.rpartition('/')[0]].append(error)
        means = {name: known_mean(errors) for name, errors in datasets.items()}
        return without_nan(
            {
                'protocol': 'scared',
                'definition': DEFINITION,
                'frames': len(self._assessed),
                'skipped': self._skipped,
                'only_keyframes': all(len(one) == 1 for one in self._errors.values()),
                'depth_mae': known_mean(list(means.values())),
                'coverage': 100 * known_mean(self._assessed),
                'datasets': means,
                'keyframes': keyframes,
                'errors': dict(self._errors),
            }
        )

    def table(self) -> Table:
        """A row per keyframe and dataset, and their mean."""
        figures = self.figures()
        rows = [*figures['keyframes'].items(), *figures['datasets'].items()]
        which = 'keyframes only' if figures['only_keyframes'] else 'all frames'
        rows.append((f'mean, {which}', figures['depth_mae']))
        return Table('scared', ('depth MAE mm',), tuple((name, (one,)) for name, one in rows), 3)

    def pictures(self) -> dict[str, np.ndarray]:
        """None."""
        return {}
