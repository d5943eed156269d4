"""ToolPose <-> surgseg_ros/ToolPose and ToolPoses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surgseg_ros.frames.tool_pose import (
    KeypointKind,
    PoseReason,
    PoseState,
    ToolKeypoint,
    ToolPose,
)
from surgseg_ros.rosdata.factory import Message, MessageFactory
from surgseg_ros.rosdata.messages import matrix_from_pose, pose_message


def tool_poses(make: MessageFactory, header: object, tools: Sequence[ToolPose]) -> Message:
    """surgseg_ros/ToolPoses of the instruments of one frame."""
    return make(
        'surgseg_ros/msg/ToolPoses', header=header, tools=[tool_pose(make, tool) for tool in tools]
    )


def tools_from_message(message: Message) -> tuple[ToolPose, ...]:
    """surgseg_ros/ToolPoses -> ToolPose per tool, as _current and _earlier say."""
    return tuple(
        _current(tool) if hasattr(tool, 'control_point') else _earlier(tool)
        for tool in message.tools
    )


def tool_pose(make: MessageFactory, tool: ToolPose) -> Message:
    """surgseg_ros/ToolPose; joints are not in the message."""
    return make(
        'surgseg_ros/msg/ToolPose',
        slot=int(tool.slot),
        track_id=int(tool.track_id),
        class_id=int(tool.class_id),
        class_name=tool.class_name,
        score=float(tool.score),
        state=int(tool.state),
        reasons=int(tool.reasons),
        shaft=_pose(make, tool.shaft, tool.shaft_covariance),
        control_point=_pose(make, tool.control_point, tool.control_covariance),
        twist=_twist(make, tool.twist, tool.twist_covariance),
        jaw_angle=float(tool.jaw_angle),
        jaw_variance=float(tool.jaw_variance),
        keypoints=[_keypoint(make, kind, one) for kind, one in sorted(tool.keypoints.items())],
    )


def _pose(make: MessageFactory, pose: np.ndarray, covariance: np.ndarray) -> object:
    return make(
        'geometry_msgs/msg/PoseWithCovariance',
        pose=pose_message(make, pose),
        covariance=np.ravel(covariance).astype(np.float64),
    )


def vector3(make: MessageFactory, values: np.ndarray) -> Message:
    """geometry_msgs/Vector3 of three numbers."""
    x, y, z = np.asarray(values, np.float64).tolist()
    return make('geometry_msgs/msg/Vector3', x=x, y=y, z=z)


def point_message(make: MessageFactory, values: np.ndarray) -> Message:
    """geometry_msgs/Point of three numbers."""
    x, y, z = np.asarray(values, np.float64).tolist()
    return make('geometry_msgs/msg/Point', x=x, y=y, z=z)


def _twist(make: MessageFactory, twist: np.ndarray, covariance: np.ndarray) -> object:
    linear, angular = vector3(make, twist[:3]), vector3(make, twist[3:])
    return make(
        'geometry_msgs/msg/TwistWithCovariance',
        twist=make('geometry_msgs/msg/Twist', linear=linear, angular=angular),
        covariance=np.ravel(covariance).astype(np.float64),
    )


def _keypoint(make: MessageFactory, kind: KeypointKind, keypoint: ToolKeypoint) -> object:
    u, v = np.asarray(keypoint.pixel, np.float64).tolist()
    return make(
        'surgseg_ros/msg/ToolKeypoint',
        kind=int(kind),
        visible=bool(keypoint.visible),
        u=u,
        v=v,
        point=point_message(make, keypoint.point),
        covariance=np.ravel(keypoint.covariance).astype(np.float32),
    )


def _current(message: Message) -> ToolPose:
    """A message of this version."""
    pose = ToolPose(
        slot=int(message.slot),
        shaft=matrix_from_pose(message.shaft.pose),
        control_point=matrix_from_pose(message.control_point.pose),
        keypoints=dict(map(_keypoint_from, message.keypoints)),
        reasons=PoseReason(message.reasons),
        shaft_covariance=np.array(message.shaft.covariance, np.float64).reshape(6, 6),
        control_covariance=np.array(message.control_point.covariance, np.float64).reshape(6, 6),
    )
    return _with_rest(pose, message)


def _earlier(message: Message) -> ToolPose:
    """A message of version 0.1, as bags have it: the pose of the jaw tips, z along the shaft.

    Where the shaft ends and where the control point is was not said: their origins are NaN.
    """
    shaft = matrix_from_pose(message.pose.pose)
    tips = ToolKeypoint(
        point=shaft[:3, 3].copy(),
        covariance=np.array(message.pose.covariance, np.float64).reshape(6, 6)[:3, :3],
    )
    shaft[:3, 3] = np.nan
    pose = ToolPose(
        slot=int(message.slot),
        shaft=shaft,
        control_point=shaft.copy(),
        keypoints={KeypointKind.JAW_TIPS: tips},
        reasons=PoseReason(message.reasons),
    )
    return _with_rest(pose, message)


def _with_rest(pose: ToolPose, message: Message) -> ToolPose:
    """Add the fields that are the same in both versions."""
    twist = message.twist.twist
    return replace(
        pose,
        track_id=int(message.track_id),
        class_id=int(message.class_id),
        class_name=message.class_name,
        score=float(message.score),
        state=PoseState(message.state),
        twist=np.array([getattr(v, a) for v in (twist.linear, twist.angular) for a in 'xyz']),
        twist_covariance=np.array(message.twist.covariance, np.float64).reshape(6, 6),
        jaw_angle=float(message.jaw_angle),
        jaw_variance=float(message.jaw_variance),
    )


def _keypoint_from(message: Message) -> tuple[KeypointKind, ToolKeypoint]:
    point = message.point
    return KeypointKind(message.kind), ToolKeypoint(
        point=np.array([point.x, point.y, point.z]),
        pixel=np.array([message.u, message.v], np.float64),
        covariance=np.array(message.covariance, np.float64).reshape(3, 3),
        visible=bool(message.visible),
    )
