"""Do track ids stay with their instruments, on the sequence in which these cross?"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

import numpy as np

from surgseg_ros.frames.stereo_frame import GroundTruth, LeftFrame
from surgseg_ros.metrics.tracking import TrackingMetrics, TrackingScore
from surgseg_ros.perception.instances import InstanceStep
from surgseg_ros.simulation import VirtualEndoscope
from surgseg_ros.sources.base import stamp_at
from surgseg_ros.tracking.instance_tracker import InstanceTracker

Instances = tuple[np.ndarray, np.ndarray]  # class ids N, masks N x H x W bool


def evaluate(frames: Iterable[tuple[float, GroundTruth, Instances]]) -> TrackingMetrics:
    """Track what was found in frame after frame (time in s, truth, instances) and judge it."""
    tracker, score = InstanceTracker(), TrackingScore()
    for seconds, truth, (class_ids, masks) in frames:
        numbers, (_, true_masks) = true_instances(truth)
        score.add(numbers, true_masks, tracker.update(seconds, class_ids, masks), masks)
    return score.metrics()


def with_true_masks(
    endoscope: VirtualEndoscope, count: int
) -> Iterator[tuple[float, GroundTruth, Instances]]:
    """Frames whose instances are the true ones; no picture is made."""
    for index in range(count):
        truth = endoscope.truth(index)
        yield index / endoscope.rate, truth, true_instances(truth)[1]


def evaluate_step(
    step: InstanceStep, endoscope: VirtualEndoscope, frames: Iterable[int]
) -> TrackingMetrics:
    """Judge the track ids of a step on these frames of the endoscope."""
    score = TrackingScore()
    for index in frames:
        image, truth = endoscope.render_left(index)
        result = step(LeftFrame(stamp_at(index, endoscope.rate), image), parts=False)
        if result.track_ids is None:
            raise ValueError('without tracking there are no track ids to judge')
        numbers, (_, true_masks) = true_instances(truth)
        score.add(numbers, true_masks, result.track_ids, result.masks)
    return score.metrics()


def true_instances(truth: GroundTruth) -> tuple[np.ndarray, Instances]:
    """Slots, class ids and masks of the instruments that are seen."""
    assert truth.instances is not None  # the simulator knows them
    seen = [tool for tool in truth.tools if (truth.instances == tool.slot).any()]
    slots = np.array([tool.slot for tool in seen], np.int64)
    return slots, (
        np.array([tool.class_id for tool in seen], np.int64),
        truth.instances == slots[:, None, None],
    )


def table(metrics: Mapping[str, TrackingMetrics]) -> str:
    """Format metrics, by what the masks are, for a terminal."""
    titles = ('truths', 'missed', 'extra', 'switches', 'MOTA', 'IDF1')
    lines = [' ' * 16 + ''.join(f'{title:>10}' for title in titles)]
    for masks, values in metrics.items():
        lines.append(
            f'{masks:16}'
            + ''.join(
                f'{value:>10.4f}' if isinstance(value, float) else f'{value:>10}'
                for value in asdict(values).values()
            )
        )
    return '\n'.join(lines)
