"""How good disparity is: of a step on frames with truth, or recorded in a bag."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from surgseg_ros.bags import BagReader
from surgseg_ros.evaluation.recorded import recorded_by_frame, results_by_frame
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.metrics.stereo import StereoMetrics, mean_metrics, stereo_metrics
from surgseg_ros.metrics.uncertainty import (
    FRACTIONS,
    UncertaintyMetrics,
    mean_uncertainty,
    uncertainty_metrics,
)
from surgseg_ros.perception.stereo import StereoStep
from surgseg_ros.rosdata.images import decode_float
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


def predicted_frames(step: StereoStep, frames: Iterable[StereoFrame]) -> Iterator[JudgedFrame]:
    """Run a step over rectified frames; those without true disparity are left out."""
    for frame in frames:
        if frame.truth is not None and frame.truth.disparity is not None:
            yield JudgedFrame(frame, step(frame).disparity)


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
    # A DisparityImage is without cx_left - cx_right, stereo_metrics compares raw disparity.
    return {
        name: stereo_metrics(disparity + np.float32(offset), truth, calibration, mask)
        for name, mask in _regions(frame).items()
    }


def _regions(frame: StereoFrame) -> dict[str, np.ndarray]:
    """Masks HxW bool by name, see judge, of a frame with true disparity."""
    assert frame.truth is not None and frame.truth.disparity is not None
    truth = frame.truth.disparity
    visible = np.arange(truth.shape[1]) - truth >= 0
    regions = {'all': np.ones(truth.shape, bool), 'visible': visible}
    if frame.truth.instances is not None:
        tool = frame.truth.instances > 0
        regions |= {'tissue': visible & ~tool, 'tools': visible & tool}
    return regions


def evaluate(
    results: Path, truth: Path | None = None, topic: str = '/endoscope/disparity'
) -> dict[str, StereoMetrics]:
    """Judge what is recorded in a bag; ValueError if nothing could be compared."""
    return mean_by_region(
        judged_frames(results, truth, topic),
        f'no disparity in {results} has the stamp of a frame with ground truth '
        f'in {truth or results}',
    )


def mean_by_region(judged: Iterable[JudgedFrame], nothing: str) -> dict[str, StereoMetrics]:
    """Mean metrics over the frames, by region; ValueError(nothing) if there are none."""
    frames = [metrics for one in judged if (metrics := judge(one))]
    if not frames:
        raise ValueError(nothing)
    means = {
        name: mean_metrics(frame[name] for frame in frames if name in frame) for name in frames[0]
    }
    total = {name: sum(frame[name].pixels for frame in frames) for name in means}
    return {name: replace(mean, pixels=total[name]) for name, mean in means.items()}


def evaluate_uncertainty(
    results: Path, truth: Path | None = None, topic: str = '/endoscope/disparity'
) -> dict[str, UncertaintyMetrics]:
    """Judge the recorded standard deviation of the disparity, by region as judge has them.

    It is expected on the topic of the disparity with `_stddev` at its end; {} where there is none.
    """
    stddev = f'{topic}_stddev'
    with BagReader(results) as bag:
        if stddev not in bag.topics:
            return {}
    frames: list[dict[str, UncertaintyMetrics]] = []
    for frame, found in recorded_by_frame(results, truth, [topic, stddev]):
        if frame.truth is None or frame.truth.disparity is None:
            continue
        offset = frame.calibration.principal_offset if frame.calibration else 0.0
        disparity = disparity_from_message(found[topic]) + np.float32(offset)
        sigma = decode_float(found[stddev])
        frames.append(
            {
                name: uncertainty_metrics(disparity, sigma, frame.truth.disparity, mask)
                for name, mask in _regions(frame).items()
            }
        )
    names = frames[0] if frames else {}
    return {
        name: mean_uncertainty([frame[name] for frame in frames if name in frame])
        for name in names
    }


def uncertainty_table(metrics: dict[str, UncertaintyMetrics]) -> str:
    """Format metrics for a terminal; the curves are those of all pixels that both eyes see."""
    titles = ('< 1 sigma %', '< 2 sigma %', 'Bad3 %', 'best 90 %', 'AUSE', 'constant')
    lines = [f'{"stddev":<8}' + ''.join(f'{title:>14}' for title in titles)]
    for region, values in metrics.items():
        numbers = (
            values.within_1,
            values.within_2,
            values.bad3,
            values.bad3_best,
            values.ause,
            values.ause_constant,
        )
        lines.append(f'{region:<8}' + ''.join(f'{number:>14.2f}' for number in numbers))
    curves = metrics['visible']
    lines.append('EPE px once the least certain are left out, and by an oracle:')
    for fraction, error, least in zip(FRACTIONS, curves.curve, curves.oracle, strict=True):
        if round(100 * fraction) % 10 == 0:
            lines.append(f'{100 * fraction:>6.0f} %{error:>14.3f}{least:>14.3f}')
    return '\n'.join(lines)


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
