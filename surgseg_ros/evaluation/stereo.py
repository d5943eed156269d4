"""Disparity with its truth: of a step on frames, or recorded in a bag."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from surgseg_ros.bags import BagReader
from surgseg_ros.datasets import StereoSample
from surgseg_ros.evaluation.evaluators.stereo import StereoEvaluator
from surgseg_ros.evaluation.recorded import recorded_by_frame, results_by_frame
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.perception.stereo import StereoStep
from surgseg_ros.rosdata.images import decode_float
from surgseg_ros.rosdata.messages import disparity_from_message

TOPIC = '/endoscope/disparity'
Judged = tuple[StereoSample, StereoResult]


class JudgedFrame(NamedTuple):
    """A frame with its truth, and the HxW float32 disparity (px, NaN unknown) found for it."""

    frame: StereoFrame
    disparity: np.ndarray


def judged_frames(
    results: Path, truth: Path | None = None, topic: str = TOPIC
) -> Iterator[JudgedFrame]:
    """Pair recorded disparity with frames of equal stamp; frames without a result are left out.

    Raises BagError (a ValueError) if a bag or the topic is not there.
    """
    for frame, disparity in results_by_frame(results, truth, topic, disparity_from_message):
        yield JudgedFrame(frame, disparity)


def recorded(results: Path, truth: Path | None = None, topic: str = TOPIC) -> Iterator[Judged]:
    """The same frames as an evaluator takes them, with the standard deviation if it is recorded.

    That is expected on the topic of the disparity with `_stddev` at its end.
    """
    stddev = f'{topic}_stddev'
    with BagReader(results) as bag:
        topics = [topic, stddev] if stddev in bag.topics else [topic]
    for frame, found in recorded_by_frame(results, truth, topics):
        sigma = decode_float(found[stddev]) if stddev in found else None
        disparity = disparity_from_message(found[topic])
        yield sample_of(frame), StereoResult(disparity, stddev=sigma)


def predicted(step: StereoStep, frames: Iterable[StereoFrame]) -> Iterator[Judged]:
    """Run a step over rectified frames; those without true disparity are left out."""
    for frame in frames:
        if frame.truth is not None and frame.truth.disparity is not None:
            yield sample_of(frame), step(frame)


def sample_of(frame: StereoFrame) -> StereoSample:
    """A frame with its known truth; labels: 1 on instruments."""
    truth = frame.truth
    tools = None if truth is None or truth.instances is None else truth.instances > 0
    return StereoSample(
        f'{frame.stamp / 1e9:.3f} s',
        frame.left,
        frame.right,
        None if truth is None else truth.disparity,
        None if tools is None else tools.astype(np.uint8),
        frame.calibration,
    )


def evaluate(
    results: Path, truth: Path | None = None, topic: str = TOPIC, protocol: str = 'valid'
) -> StereoEvaluator:
    """Evaluate the results in a bag; ValueError if nothing could be compared."""
    evaluator = StereoEvaluator(protocol)
    for sample, result in recorded(results, truth, topic):
        evaluator.add(sample, result)
    if not evaluator.frames:
        raise ValueError(
            f'no disparity in {results} has the stamp of a frame with ground truth '
            f'in {truth or results}'
        )
    return evaluator
