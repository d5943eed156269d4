"""Do track ids stay with their instruments, on the sequence in which these cross?"""

from collections.abc import Iterable, Iterator

import numpy as np

from surgseg_ros.datasets import InstanceSample
from surgseg_ros.evaluation.evaluators.tracking import TrackingEvaluator
from surgseg_ros.frames.results import InstanceResult, mask_boxes
from surgseg_ros.frames.stereo_frame import GroundTruth, LeftFrame
from surgseg_ros.perception.instances import InstanceStep
from surgseg_ros.simulation import VirtualEndoscope
from surgseg_ros.sources.base import stamp_at
from surgseg_ros.tracking.instance_tracker import InstanceTracker

Instances = tuple[np.ndarray, np.ndarray]  # class ids N, masks N x H x W bool


def evaluate(frames: Iterable[tuple[float, GroundTruth, Instances]]) -> TrackingEvaluator:
    """Track what was found in frame after frame (time in s, truth, instances) and judge it."""
    tracker, evaluator = InstanceTracker(), TrackingEvaluator()
    for seconds, truth, (class_ids, masks) in frames:
        result = InstanceResult(
            class_ids,
            np.ones(len(class_ids), np.float32),
            mask_boxes(masks),
            masks,
            track_ids=tracker.update(seconds, class_ids, masks),
        )
        evaluator.add(sample_of(truth, seconds), result)
    return evaluator


def with_true_masks(
    endoscope: VirtualEndoscope, count: int
) -> Iterator[tuple[float, GroundTruth, Instances]]:
    """Frames whose instances are the true ones; no picture is made."""
    for index in range(count):
        truth = endoscope.truth(index)
        yield index / endoscope.rate, truth, true_instances(truth)[1]


def evaluate_step(
    step: InstanceStep, endoscope: VirtualEndoscope, frames: Iterable[int]
) -> TrackingEvaluator:
    """Judge the track ids of a step on these frames of the endoscope."""
    evaluator = TrackingEvaluator()
    for index in frames:
        image, truth = endoscope.render_left(index)
        result = step(LeftFrame(stamp_at(index, endoscope.rate), image), parts=False)
        evaluator.add(sample_of(truth, index / endoscope.rate, image), result)
    return evaluator


def sample_of(
    truth: GroundTruth, seconds: float, image: np.ndarray | None = None
) -> InstanceSample:
    """The true instruments of a frame; black where no picture was made."""
    slots, (class_ids, masks) = true_instances(truth)
    assert truth.instances is not None
    if image is None:
        image = np.zeros((*truth.instances.shape, 3), np.uint8)
    return InstanceSample(f'{seconds:.3f} s', image, class_ids, masks, track_ids=slots)


def true_instances(truth: GroundTruth) -> tuple[np.ndarray, Instances]:
    """Slots, class ids and masks of the instruments that are seen."""
    assert truth.instances is not None  # the simulator knows them
    seen = [tool for tool in truth.tools if (truth.instances == tool.slot).any()]
    slots = np.array([tool.slot for tool in seen], np.int64)
    return slots, (
        np.array([tool.class_id for tool in seen], np.int64),
        truth.instances == slots[:, None, None],
    )
