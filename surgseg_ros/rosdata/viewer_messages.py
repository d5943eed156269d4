"""What a bag has beside the messages of a frame, for viewers that know only standard types.

Depth of the true disparity as an image (REP 118) and true poses as transforms: no viewer draws
DisparityImage, InstrumentInstances or ToolPoses.
"""

from collections.abc import Iterator

import numpy as np

from surgseg_ros.frames.stereo_frame import ArmState, StereoFrame
from surgseg_ros.geometry.points import disparity_to_depth
from surgseg_ros.rosdata import messages, pose_messages
from surgseg_ros.rosdata.factory import Message, MessageFactory
from surgseg_ros.rosdata.frame_messages import TopicMessage

DEPTH = 'ground_truth/depth'
TF = '/tf'
TRUTH = 'ground_truth_'  # begins the names of frames that nobody measures
_KEPT_BITS = 12  # of the 23 of a float32's fraction; the rest is noise that does not compress


def viewer_messages(make: MessageFactory, frame: StereoFrame) -> Iterator[TopicMessage]:
    """Depth, m, rounded to 0.01 %, and /tf of true tools and of arms, where they are known."""
    header = messages.header(make, frame.stamp, frame.frame_id)
    truth, calibration = frame.truth, frame.calibration
    if truth and truth.disparity is not None and calibration:
        disparity = truth.disparity - np.float32(calibration.principal_offset)
        depth = _rounded(disparity_to_depth(disparity, calibration))
        image = messages.image(make, header, depth, '32FC1')
        yield TopicMessage(DEPTH, 'sensor_msgs/msg/Image', image)
    found = pose_messages.transforms(make, header, truth.tools, TRUTH).transforms if truth else []
    for arm in frame.arms:
        found = [*found, *_arm_transforms(make, frame, arm)]
    if found:
        kind = 'tf2_msgs/msg/TFMessage'
        yield TopicMessage(TF, kind, make(kind, transforms=list(found)))


def _arm_transforms(make: MessageFactory, frame: StereoFrame, arm: ArmState) -> list[Message]:
    """Where the base really is, and where the arm says that its instrument is."""
    camera, base = (
        messages.header(make, frame.stamp, name) for name in (frame.frame_id, f'{arm.name}_base')
    )
    return [
        pose_messages.transform(make, camera, f'{TRUTH}{arm.name}_base', arm.base),
        pose_messages.transform(make, base, arm.name, arm.measured_cp),
    ]


def _rounded(values: np.ndarray) -> np.ndarray:
    """float32 with _KEPT_BITS of their fraction; NaN stays."""
    dropped = 23 - _KEPT_BITS
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = (bits + np.uint32(1 << dropped - 1)) >> dropped << dropped
    return np.where(np.isnan(values), values, nearest.astype(np.uint32).view(np.float32))
