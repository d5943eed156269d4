"""Poses and distances as standard messages: PoseStamped, JointState, TFMessage, MarkerArray."""

from collections.abc import Sequence

import numpy as np

from surgseg_ros.frames.tissue_distance import DistanceLevel, TissueDistance
from surgseg_ros.frames.tool_pose import KeypointKind, PoseState, ToolPose
from surgseg_ros.geometry.transforms import ISI_FROM_OPTICAL, quaternion_from_matrix
from surgseg_ros.rosdata.factory import Message, MessageFactory
from surgseg_ros.rosdata.messages import pose_message
from surgseg_ros.rosdata.tool_poses import point_message, vector3

_ARROW, _SPHERE, _LINE, _TEXT, _DELETE_ALL = 0, 2, 4, 9, 3  # visualization_msgs/Marker
_COLOURS = {
    DistanceLevel.OK: (0.1, 0.8, 0.2),
    DistanceLevel.WARN: (1.0, 0.2, 0.1),
    DistanceLevel.UNKNOWN: (0.6, 0.6, 0.6),
}


def pose_stamped(make: MessageFactory, header: object, pose: np.ndarray) -> Message:
    """geometry_msgs/PoseStamped of a 4x4 pose, m."""
    return make('geometry_msgs/msg/PoseStamped', header=header, pose=pose_message(make, pose))


def jaw_state(make: MessageFactory, header: object, angle: float) -> Message:
    """sensor_msgs/JointState of the opening, rad."""
    return make('sensor_msgs/msg/JointState', header=header, name=['jaw'], position=[float(angle)])


def transforms(
    make: MessageFactory, header: object, tools: Sequence[ToolPose], prefix: str = ''
) -> Message:
    """tf2_msgs/TFMessage: <prefix>tool<slot>_shaft and _control_point of valid poses."""
    found = []
    for tool in tools:
        if tool.state != PoseState.INVALID:
            for name, pose in (('shaft', tool.shaft), ('control_point', tool.control_point)):
                found.append(transform(make, header, f'{prefix}tool{tool.slot}_{name}', pose))
    return make('tf2_msgs/msg/TFMessage', transforms=found)


def isi_axes(make: MessageFactory, header: Message) -> Message:
    """tf2_msgs/TFMessage for /tf_static: `<frame>_isi`, ISI's axes at the camera of `header`."""
    child = f'{header.frame_id}_isi'
    optical_from_isi = np.linalg.inv(ISI_FROM_OPTICAL)
    return make(
        'tf2_msgs/msg/TFMessage', transforms=[transform(make, header, child, optical_from_isi)]
    )


def transform(make: MessageFactory, header: object, child: str, pose: np.ndarray) -> Message:
    """geometry_msgs/TransformStamped of a 4x4 pose of the frame `child` in that of the header."""
    x, y, z, w = quaternion_from_matrix(pose).tolist()
    return make(
        'geometry_msgs/msg/TransformStamped',
        header=header,
        child_frame_id=child,
        transform=make(
            'geometry_msgs/msg/Transform',
            translation=vector3(make, pose[:3, 3]),
            rotation=make('geometry_msgs/msg/Quaternion', x=x, y=y, z=z, w=w),
        ),
    )


def tissue_distances(
    make: MessageFactory, header: object, distances: Sequence[TissueDistance]
) -> Message:
    """surgseg_ros/TissueDistances."""
    return make(
        'surgseg_ros/msg/TissueDistances',
        header=header,
        tools=[_tissue_distance(make, one) for one in distances],
    )


def _tissue_distance(make: MessageFactory, one: TissueDistance) -> Message:
    return make(
        'surgseg_ros/msg/TissueDistance',
        slot=int(one.slot),
        track_id=int(one.track_id),
        level=int(one.level),
        tip_clearance=float(one.tip_clearance),
        shaft_clearance=float(one.shaft_clearance),
        stddev=float(one.stddev),
        visible_fraction=float(one.visible_fraction),
        tip=point_message(make, one.tip),
        nearest_tissue=point_message(make, one.nearest_tissue),
    )


def markers(
    make: MessageFactory,
    header: object,
    tools: Sequence[ToolPose],
    distances: Sequence[TissueDistance],
) -> Message:
    """visualization_msgs/MarkerArray: axes, keypoints, distances; what was shown before goes."""
    shown = [_marker(make, header, 'tools', 0, _ARROW, action=_DELETE_ALL)]
    for tool in tools:
        if tool.state != PoseState.INVALID:
            shown += _axes(make, header, tool) + _keypoints(make, header, tool)
    shown += [
        marker
        for one in distances
        if np.isfinite(one.tip).all() and np.isfinite(one.nearest_tissue).all()
        for marker in _distance(make, header, one)
    ]
    return make('visualization_msgs/msg/MarkerArray', markers=shown)


def _marker(
    make: MessageFactory, header: object, name: str, number: int, kind: int, **fields: object
) -> Message:
    return make(
        'visualization_msgs/msg/Marker',
        header=header,
        ns=name,
        id=number,
        type=kind,
        pose=pose_message(make, np.eye(4)),
        **fields,
    )


def _colour(make: MessageFactory, colour: Sequence[float]) -> Message:
    r, g, b = (float(value) for value in colour)
    return make('std_msgs/msg/ColorRGBA', r=r, g=g, b=b, a=1.0)


def _axes(make: MessageFactory, header: object, tool: ToolPose) -> list[Message]:
    origin = tool.control_point[:3, 3]
    return [
        _marker(
            make,
            header,
            f'tool{tool.slot}_axes',
            axis,
            _ARROW,
            points=[
                point_message(make, origin),
                point_message(make, origin + 0.01 * tool.control_point[:3, axis]),
            ],
            scale=vector3(make, np.array([0.0008, 0.0016, 0.0])),
            color=_colour(make, np.eye(3)[axis]),
        )
        for axis in range(3)
    ]


def _keypoints(make: MessageFactory, header: object, tool: ToolPose) -> list[Message]:
    points = [point.point for _, point in sorted(tool.keypoints.items())]
    chain = [
        tool.point(kind)
        for kind in (
            KeypointKind.ENTRY,
            KeypointKind.SHAFT_END,
            KeypointKind.WRIST_PITCH,
            KeypointKind.WRIST_YAW,
            KeypointKind.JAW_TIPS,
        )
        if kind in tool.keypoints
    ]
    name = f'tool{tool.slot}_keypoints'
    line = _marker(
        make,
        header,
        name,
        0,
        _LINE,
        points=[point_message(make, point) for point in chain],
        scale=vector3(make, np.array([0.0006, 0.0, 0.0])),
        color=_colour(make, (1.0, 0.9, 0.2)),
    )
    spheres = [
        _sphere(make, header, name, number, point) for number, point in enumerate(points, 1)
    ]
    return [line, *spheres]


def _sphere(
    make: MessageFactory, header: object, name: str, number: int, point: np.ndarray
) -> Message:
    marker = _marker(
        make,
        header,
        name,
        number,
        _SPHERE,
        scale=vector3(make, np.full(3, 0.002)),
        color=_colour(make, (1.0, 0.6, 0.0)),
    )
    marker.pose.position = point_message(make, point)
    return marker


def _distance(make: MessageFactory, header: object, one: TissueDistance) -> list[Message]:
    name, colour = f'tool{one.slot}_distance', _colour(make, _COLOURS[one.level])
    line = _marker(
        make,
        header,
        name,
        0,
        _LINE,
        points=[point_message(make, one.tip), point_message(make, one.nearest_tissue)],
        scale=vector3(make, np.array([0.0005, 0.0, 0.0])),
        color=colour,
    )
    text = _marker(
        make,
        header,
        name,
        1,
        _TEXT,
        text=f'{1e3 * one.tip_clearance:.1f} mm',
        scale=vector3(make, np.array([0.0, 0.0, 0.004])),
        color=colour,
    )
    text.pose.position = point_message(make, 0.5 * (one.tip + one.nearest_tissue))
    return [line, text]
