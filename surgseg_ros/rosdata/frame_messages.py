"""StereoFrame <-> the messages of one camera: two images, two camera_info and the ground truth.

Nodes publish what frame_messages gives, bags store it; topics are relative to the namespace,
except those of robot arms (/PSM1/measured_cp), which do not belong to the camera.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.frames.parts import Part
from surgseg_ros.frames.stereo_frame import ArmState, GroundTruth, StereoFrame
from surgseg_ros.frames.tool_pose import ToolPose
from surgseg_ros.rosdata import messages, tool_poses
from surgseg_ros.rosdata.factory import Message, MessageFactory
from surgseg_ros.rosdata.images import decode_labels

DISPARITY = 'ground_truth/disparity'
PARTS = 'ground_truth/parts'
INSTANCES = 'ground_truth/instances'
TOOL_POSES = 'ground_truth/tool_poses'
TRUTH_TYPES = {
    DISPARITY: 'stereo_msgs/msg/DisparityImage',
    PARTS: 'sensor_msgs/msg/Image',
    INSTANCES: 'surgseg_ros/msg/InstrumentInstances',
    TOOL_POSES: 'surgseg_ros/msg/ToolPoses',
}


T = TypeVar('T')


class TopicMessage(NamedTuple):
    """A message, its topic relative to the namespace or absolute, its type (package/msg/Name)."""

    topic: str
    type_name: str
    message: Message


def is_rectified(calibration: StereoCalibration) -> bool:
    """Whether images of this calibration are the rectified ones: no distortion, K R = P."""
    return all(map(_is_rectified, (calibration.left, calibration.right)))


def _is_rectified(camera: CameraModel) -> bool:
    return (
        not np.any(camera.D)
        and np.allclose(camera.R, np.eye(3), atol=1e-9)
        and np.allclose(camera.K, camera.P[:, :3], rtol=1e-9)
    )


def frame_messages(make: MessageFactory, frame: StereoFrame) -> Iterator[TopicMessage]:
    """Messages of a frame, truth first, so that who pairs the images has it already.

    Images are named image_rect where the calibration says that they are rectified, else
    image_raw. Without calibration there is no camera_info, and f = t = 0 in the true disparity.
    """
    header = messages.header(make, frame.stamp, frame.frame_id)
    if frame.truth:
        yield from _truth_messages(make, header, frame.truth, frame.calibration)
    for arm in frame.arms:
        yield from _arm_messages(make, frame, arm)
    calibration = frame.calibration
    if calibration:
        for side, camera in (('left', calibration.left), ('right', calibration.right)):
            info = messages.camera_info(make, header, camera)
            yield TopicMessage(f'{side}/camera_info', 'sensor_msgs/msg/CameraInfo', info)
    name = 'image_rect' if calibration and is_rectified(calibration) else 'image_raw'
    for side, pixels in (('left', frame.left), ('right', frame.right)):
        image = messages.image(make, header, pixels, 'rgb8')
        yield TopicMessage(f'{side}/{name}', 'sensor_msgs/msg/Image', image)


def _arm_messages(
    make: MessageFactory, frame: StereoFrame, arm: ArmState
) -> Iterator[TopicMessage]:
    """What a dVRK's arm publishes (CRTK), and beside it where its base really is."""
    pose_type, joints_type = 'geometry_msgs/msg/PoseStamped', 'sensor_msgs/msg/JointState'
    header = messages.header(make, frame.stamp, f'{arm.name}_base')

    def pose(topic: str, header: object, matrix: np.ndarray) -> TopicMessage:
        pose = messages.pose_message(make, matrix)
        return TopicMessage(topic, pose_type, make(pose_type, header=header, pose=pose))

    def joints(topic: str, names: Sequence[str], positions: np.ndarray) -> TopicMessage:
        state = make(joints_type, header=header, name=list(names), position=positions)
        return TopicMessage(f'/{arm.name}/{topic}', joints_type, state)

    camera = messages.header(make, frame.stamp, frame.frame_id)
    yield pose(f'ground_truth/{arm.name}/base_frame', camera, arm.base)
    yield pose(f'/{arm.name}/measured_cp', header, arm.measured_cp)
    yield joints('measured_js', arm.joint_names, np.asarray(arm.positions, np.float64))
    yield joints('jaw/measured_js', ['jaw'], np.array([arm.jaw], np.float64))


def _truth_messages(
    make: MessageFactory, header: object, truth: GroundTruth, calibration: StereoCalibration | None
) -> Iterator[TopicMessage]:
    def made(topic: str, message: Message) -> TopicMessage:
        return TopicMessage(topic, TRUTH_TYPES[topic], message)

    if truth.disparity is not None:
        offset = np.float32(calibration.principal_offset if calibration else 0.0)
        disparity = truth.disparity - np.float32(offset)
        yield made(DISPARITY, messages.disparity_image(make, header, disparity, calibration))
    if truth.parts is not None:
        yield made(PARTS, messages.image(make, header, truth.parts, 'mono8'))
    if truth.instances is not None:
        yield made(INSTANCES, _instances(make, header, truth.instances, truth.parts, truth.tools))
    if truth.tools:
        yield made(TOOL_POSES, tool_poses.tool_poses(make, header, truth.tools))


def truth_from_messages(
    received: Mapping[str, Message], calibration: StereoCalibration | None
) -> GroundTruth | None:
    """GroundTruth of messages by topic (those of TRUTH_TYPES that exist); None without any."""
    offset = np.float32(calibration.principal_offset if calibration else 0.0)

    def read(topic: str, decode: Callable[[Message], T]) -> T | None:
        return decode(received[topic]) if topic in received else None

    if received.keys().isdisjoint(TRUTH_TYPES):
        return None
    return GroundTruth(
        disparity=read(DISPARITY, lambda one: messages.disparity_from_message(one) + offset),
        parts=read(PARTS, decode_labels),
        instances=read(INSTANCES, messages.instance_map),
        tools=read(TOOL_POSES, tool_poses.tools_from_message) or (),
    )


def _instances(
    make: MessageFactory,
    header: object,
    instances: np.ndarray,
    parts: np.ndarray | None,
    tools: Sequence[ToolPose],
) -> Message:
    """surgseg_ros/InstrumentInstances of GroundTruth's maps; track_id is the tool's slot."""
    inside = np.uint8(Part.UNKNOWN) if parts is None else parts
    named = {tool.slot: (tool.class_id, tool.class_name) for tool in tools}
    found = [
        messages.instrument_instance(
            make,
            np.where(instances == slot, inside, np.uint8(0)),
            *named.get(slot, (0, '')),
            track_id=slot,
        )
        for slot in sorted(set(np.unique(instances).tolist()) - {0})
    ]
    height, width = instances.shape
    return messages.instrument_instances(make, header, height, width, found)
