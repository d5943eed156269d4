"""Disparity against the truth, by any protocol of metrics.stereo_protocols."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import cv2
import numpy as np

from surgseg_ros.datasets import StereoSample
from surgseg_ros.evaluation.evaluators import without_nan
from surgseg_ros.evaluation.evaluators.worst_frames import WorstFrames, small
from surgseg_ros.evaluation.tables import Table
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.media import pictures
from surgseg_ros.metrics.stereo import StereoMetrics, mean_metrics, stereo_metrics
from surgseg_ros.metrics.stereo_protocols import PROTOCOLS
from surgseg_ros.metrics.uncertainty import (
    FRACTIONS,
    UncertaintyMetrics,
    mean_uncertainty,
    uncertainty_metrics,
)

ERROR_RANGE = 4.0  # px, white hot
REGIONS = ('all', 'visible', 'tissue', 'tools')
_SIGMA_UNITS = {
    'within_1': '< 1 sigma %',
    'within_2': '< 2 sigma %',
    'bad3': 'Bad3 %',
    'bad3_best': 'best 90 %',
    'ause': 'AUSE',
    'ause_constant': 'constant',
}
_UNITS = {
    'epe': 'EPE px',
    'bad1': 'Bad1 %',
    'bad2': 'Bad2 %',
    'bad3': 'Bad3 %',
    'coverage': 'coverage %',
    'depth_mae': 'depth MAE mm',
}


class StereoEvaluator:
    """An Evaluator of StereoResult on StereoSample with disparity.

    A result's disparity is without cx_left - cx_right, as perception steps, nodes and files have
    it; that of a sample is x_left - x_right. protocol: of PROTOCOLS.
    """

    def __init__(self, protocol: str = 'valid', keep_pictures: bool = False) -> None:
        self._protocol, self._name = PROTOCOLS[protocol], protocol
        self._names: list[str] = []
        self._frames: list[dict[str, StereoMetrics]] = []
        self._sigmas: list[dict[str, UncertaintyMetrics]] = []
        self._skipped = 0
        self._worst = WorstFrames(keep_pictures)

    def add(self, frame: StereoSample, result: StereoResult) -> None:
        """Judge one frame; ValueError if sizes differ. A frame without truth is skipped."""
        truth = frame.disparity
        if truth is None or not self._protocol.counts(truth):
            self._skipped += 1
            return
        offset = frame.calibration.principal_offset if frame.calibration else 0.0
        disparity = result.disparity + np.float32(offset)
        try:
            judged = {
                name: self._judge(frame, disparity, truth, mask)
                for name, mask in _regions(frame, truth).items()
            }
        except ValueError as error:
            raise ValueError(f'{frame.name}: {error}') from error
        self._frames.append(judged)
        self._names.append(frame.name)
        if result.stddev is not None:
            self._sigmas.append(
                {
                    name: uncertainty_metrics(disparity, result.stddev, truth, mask)
                    for name, mask in _regions(frame, truth).items()
                }
            )
        self._worst.add(-judged['all'].epe, lambda: _row(frame, disparity, truth, judged['all']))

    def _judge(
        self, frame: StereoSample, disparity: np.ndarray, truth: np.ndarray, mask: np.ndarray
    ) -> StereoMetrics:
        protocol, compared = self._protocol, self._protocol.prepared(disparity)
        metrics = stereo_metrics(
            compared, truth, frame.calibration, mask, missing_depth=protocol.missing_depth
        )
        known = mask & np.isfinite(
            truth
        )  # coverage counts known disparities, however holes are scored
        share = np.isfinite(disparity[known]).mean() if known.any() else np.nan
        return replace(metrics, coverage=100 * float(share))

    @property
    def frames(self) -> int:
        """Number of evaluated frames."""
        return len(self._frames)

    def figures(self) -> dict[str, object]:
        """See Evaluator; StereoMetrics of each region below its name.

        all: every pixel with truth. visible: those whose true match lies inside the right image,
        for nothing can measure the others. tissue, tools: visible ones, where labels are known.
        'stddev' has UncertaintyMetrics by region, where results have a standard deviation.
        """
        if not self._frames:
            raise ValueError('there was no frame with true disparity to evaluate')
        figures: dict[str, object] = {
            'protocol': self._name,
            'definition': self._protocol.definition,
            'frames': len(self._frames),
            'skipped': self._skipped,
        }
        for region in self._frames[0]:
            frames = [
                (name, one[region])
                for name, one in zip(self._names, self._frames, strict=True)
                if region in one
            ]
            figures[region] = asdict(self._mean(frames))
        if self._sigmas:
            figures['stddev'] = {
                region: asdict(mean_uncertainty([one[region] for one in self._sigmas]))
                for region in self._sigmas[0]
            }
        return without_nan(figures)

    def _mean(self, frames: Sequence[tuple[str, StereoMetrics]]) -> StereoMetrics:
        """Mean over frames, or by keyframe and dataset; pixels are added up."""
        pixels = sum(one.pixels for _, one in frames)
        groups = frames
        for _ in range(2 if self._protocol.by_dataset else 0):  # SEQUENCE/FRAME -> SEQUENCE
            groups = means_by_folder(groups)
        return replace(mean_metrics(one for _, one in groups), pixels=pixels)

    def table(self) -> Table:
        """A row per region."""
        return table(self.figures())

    def pictures(self) -> dict[str, np.ndarray]:
        """Disparity beside its error for the worst, the median and the best frame."""
        return self._worst.pictures()


def means_by_folder(
    frames: Sequence[tuple[str, StereoMetrics]],
) -> list[tuple[str, StereoMetrics]]:
    """Mean metrics of the names that lie in the same folder, by the name of the folder."""
    folders: dict[str, list[StereoMetrics]] = defaultdict(list)
    for name, metrics in frames:
        folders[name.rpartition('/')[0]].append(metrics)
    return [(name, mean_metrics(one)) for name, one in folders.items()]


def table(figures: Mapping[str, Any]) -> Table:
    """Figures of a StereoEvaluator for people."""
    keys = [one.name for one in fields(StereoMetrics) if one.name in _UNITS]
    regions = {name: figures[name] for name in REGIONS if name in figures}
    rows = tuple((name, tuple(value[key] for key in keys)) for name, value in regions.items())
    return Table(figures['protocol'], tuple(_UNITS[key] for key in keys), rows)


def uncertainty_tables(figures: Mapping[str, Any]) -> tuple[Table, ...]:
    """Figures of the standard deviation for people; empty if results have none.

    The curves, of visible pixels: EPE in px once the least certain are left out, and by an oracle.
    """
    if 'stddev' not in figures:
        return ()
    regions, protocol = figures['stddev'], f'{figures["protocol"]}, stddev'
    rows = tuple(
        (name, tuple(values[key] for key in _SIGMA_UNITS)) for name, values in regions.items()
    )
    curves = zip(FRACTIONS, regions['visible']['curve'], regions['visible']['oracle'], strict=True)
    left_out = tuple((f'{100 * share:.0f} % left out', cells) for share, *cells in curves)
    return (
        Table(protocol, tuple(_SIGMA_UNITS.values()), rows),
        Table(
            protocol,
            ('EPE px', 'oracle px'),
            tuple((name, tuple(cells)) for name, cells in left_out[::2]),
            3,
        ),
    )


def error_picture(disparity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """HxWx3 uint8 RGB: error from black, 0, to white, ERROR_RANGE px; violet where unknown."""
    error = np.abs(disparity - truth)
    level = np.nan_to_num(np.clip(error * (255 / ERROR_RANGE), 0, 255)).astype(np.uint8)
    heat = cv2.applyColorMap(level, cv2.COLORMAP_HOT)
    picture: np.ndarray = cv2.cvtColor(heat, cv2.COLOR_BGR2RGB)
    picture[np.isnan(error)] = (60, 60, 90)
    return picture


def _regions(frame: StereoSample, truth: np.ndarray) -> dict[str, np.ndarray]:
    visible = np.arange(truth.shape[1]) - np.nan_to_num(truth) >= 0
    regions = {'all': np.ones(truth.shape, bool), 'visible': visible}
    if frame.labels is not None:
        tool = frame.labels > 0
        regions |= {'tissue': visible & ~tool, 'tools': visible & tool}
    return regions


def _row(
    frame: StereoSample, disparity: np.ndarray, truth: np.ndarray, metrics: StereoMetrics
) -> np.ndarray:
    known = truth[np.isfinite(truth)]
    span = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    halves = {
        f'{frame.name}  EPE {metrics.epe:.2f} px': pictures.colour_by_disparity(disparity, span),
        f'error, black 0 to white {ERROR_RANGE:.0f} px': error_picture(disparity, truth),
    }
    return np.hstack([pictures.caption(small(one), title) for title, one in halves.items()])
