"""The true instruments of a simulated or recorded frame, as evaluators take them."""

import numpy as np

from surgseg_ros.datasets import InstanceSample
from surgseg_ros.frames.stereo_frame import GroundTruth

Instances = tuple[np.ndarray, np.ndarray]  # class ids N, masks N x H x W bool


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
