"""Do track ids stay with their instruments, on the sequence in which these cross?"""

from collections.abc import Iterable, Iterator

import numpy as np

from surgseg_ros.evaluation.evaluators.tracking import TrackingEvaluator
from surgseg_ros.evaluation.true_instances import Instances, sample_of, true_instances
from surgseg_ros.frames.results import InstanceResult, mask_boxes
from surgseg_ros.frames.stereo_frame import GroundTruth, LeftFrame
from surgseg_ros.perception.instances import InstanceStep
from surgseg_ros.simulation import VirtualEndoscope
from surgseg_ros.sources.base import stamp_at
from surgseg_ros.tracking.instance_tracker import InstanceTracker


def evaluate(frames: Iterable[tuple[float, GroundTruth, Instances]]) -> TrackingEvaluator:
    """Track the instances of successive frames (time in s, truth, instances) and evaluate."""
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
