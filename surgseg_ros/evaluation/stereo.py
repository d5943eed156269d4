"""How good recorded disparity is: results in one bag, truth in the same or another."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from surgseg_ros.evaluation.recorded import results_by_frame
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.metrics.stereo import StereoMetrics, mean_metrics, stereo_metrics
from surgseg_ros.rosdata.messages import disparity_from_message


class JudgedFrame(NamedTuple):
    """A frame with its truth, and the HxW float32 disparity (px, NaN unknown) found for it."""

    frame: StereoFrame
    disparity: np.ndarray


def judged_frames(
    results: Path, truth: Path | None = None, topic: str = '/endoscope/disparity'
) -> Iterator[JudgedFrame]:
    """Pair recorded disparity with frames of equal stamp; frames without a result are left out.

    Raises BagError (a ValueError) if a bag or the topic is not there.
    """
    for frame, disparity in results_by_frame(results, truth, topic, disparity_from_message):
        yield JudgedFrame(frame, disparity)


def judge(judged: JudgedFrame) -> dict[str, StereoMetrics]:
    """Metrics of one frame by region.

    all: every pixel with ground truth. visible: those whose true match lies inside the right
    image, for nothing can measure the others. tissue, tools: visible ones, where masks are known.
    """
    frame, disparity = judged
    truth = frame.truth.disparity if frame.truth else None
    if truth is None:
        return {}
    calibration = frame.calibration
    offset = calibration.principal_offset if calibration else 0.0
    visible = np.arange(truth.shape[1]) - truth >= 0
    regions = {'all': np.ones(truth.shape, bool), 'visible': visible}
    if frame.truth is not None and frame.truth.instances is not None:
        tool = frame.truth.instances > 0
        regions |= {'tissue': visible & ~tool, 'tools': visible & tool}
    # A DisparityImage is without cx_left - cx_right, stereo_metrics compares raw disparity.
    return {
        name: stereo_metrics(disparity + np.float32(offset), truth, calibration, mask)
        for name, mask in regions.items()
    }


def evaluate(
    results: Path, truth: Path | None = None, topic: str = '/endoscope/disparity'
) -> dict[str, StereoMetrics]:
    """Mean metrics over the frames, by region; ValueError if nothing could be compared."""
    frames = [judge(judged) for judged in judged_frames(results, truth, topic)]
    frames = [frame for frame in frames if frame]
    if not frames:
        raise ValueError(
            f'no disparity in {results} has the stamp of a frame with ground truth '
            f'in {truth or results}'
        )
    means = {
        name: mean_metrics(frame[name] for frame in frames if name in frame) for name in frames[0]
    }
    total = {name: sum(frame[name].pixels for frame in frames) for name in means}
    return {name: replace(mean, pixels=total[name]) for name, mean in means.items()}


def table(metrics: dict[str, StereoMetrics]) -> str:
    """Format metrics for a terminal."""
    units = {
        'epe': 'EPE px',
        'bad1': 'Bad1 %',
        'bad2': 'Bad2 %',
        'bad3': 'Bad3 %',
        'coverage': 'coverage %',
        'depth_mae': 'depth MAE mm',
    }
    lines = [f'{"":<8}' + ''.join(f'{title:>14}' for title in units.values())]
    for region, values in metrics.items():
        numbers = asdict(values)
        lines.append(f'{region:<8}' + ''.join(f'{numbers[key]:>14.2f}' for key in units))
    return '\n'.join(lines)
