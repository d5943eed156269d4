"""What is true of each instrument: its poses, keypoints and joints, and what the picture shows."""

import numpy as np

from surgseg_ros.frames.tool_pose import KeypointKind, ToolJoints, ToolKeypoint, ToolPose
from surgseg_ros.simulation.arm import VirtualArm, control_point
from surgseg_ros.simulation.instruments import SHAFT_LENGTH, InstrumentType, JointState, LinkPoses
from surgseg_ros.simulation.materials import MM
from surgseg_ros.simulation.shading import View


def tool_truth(
    slot: int,
    kind: InstrumentType,
    joints: JointState,
    links: LinkPoses,
    arm: VirtualArm,
    view: View,
    instances: np.ndarray,
) -> ToolPose:
    """Return the truth of the instrument in `slot`; instances: HxW slots of the left view."""
    roll = float(arm.joints(joints)[3])
    return ToolPose(
        slot,
        _metres(links.shaft),
        _metres(control_point(links.clevis)),
        _keypoints(kind, links, view, instances == slot),
        joints.opening,
        class_id=kind.class_id,
        class_name=kind.class_name,
        track_id=slot,
        joints=ToolJoints(roll, joints.bend, joints.yaw, joints.opening),
        insertion_point=arm.base[:3, 3].copy(),
    )


def _keypoints(
    kind: InstrumentType, links: LinkPoses, view: View, mask: np.ndarray
) -> dict[KeypointKind, ToolKeypoint]:
    second, first = [(jaw @ (0.0, 0.0, kind.jaw.length, 1.0))[:3] for jaw in links.jaws]
    points = {
        KeypointKind.SHAFT_END: links.shaft[:3, 3],
        KeypointKind.WRIST_PITCH: links.wrist[:3, 3],
        KeypointKind.WRIST_YAW: links.clevis[:3, 3],
        KeypointKind.JAW_TIP_1: first,
        KeypointKind.JAW_TIP_2: second,
        KeypointKind.JAW_TIPS: 0.5 * (first + second),
    }
    entry = _entry(links.shaft, view)
    if entry is not None:
        points[KeypointKind.ENTRY] = entry
    visible = {name: _shows(mask, _pixel(point, view)) for name, point in points.items()}
    tips = visible[KeypointKind.JAW_TIP_1] and visible[KeypointKind.JAW_TIP_2]
    visible[KeypointKind.JAW_TIPS] = tips
    return {
        name: ToolKeypoint(point * MM, _pixel(point, view), visible=visible[name])
        for name, point in points.items()
    }


def _pixel(point: np.ndarray, view: View) -> np.ndarray:
    """(2,) px; NaN behind the camera."""
    if point[2] <= 0.0:
        return np.full(2, np.nan)
    return np.array(
        [view.f * point[0] / point[2] + view.cx, view.f * point[1] / point[2] + view.cy]
    )


def _shows(mask: np.ndarray, pixel: np.ndarray) -> bool:
    """Whether the instrument is seen at a pixel or beside it."""
    if not np.isfinite(pixel).all():
        return False
    column, row = np.round(pixel).astype(int)
    height, width = mask.shape
    if not (-1 <= row <= height and -1 <= column <= width):
        return False
    return bool(mask[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].any())


def _entry(shaft: np.ndarray, view: View) -> np.ndarray | None:
    """Where the shaft's centre line enters the picture, mm; None where it does not cross its edge.

    The picture is four half-spaces through the eye, so that the line is cut without projecting.
    """
    height, width = view.geom.shape
    near, end, back = 0.0, shaft[:3, 3], -shaft[:3, 2]
    far = SHAFT_LENGTH
    for normal in (
        (view.f, 0.0, view.cx + 0.5),
        (-view.f, 0.0, width - 0.5 - view.cx),
        (0.0, view.f, view.cy + 0.5),
        (0.0, -view.f, height - 0.5 - view.cy),
        (0.0, 0.0, 1.0),
    ):
        inside, change = np.dot(normal, end), np.dot(normal, back)
        if change < 0.0:
            far = min(far, -inside / change)
        elif change > 0.0:
            near = max(near, -inside / change)
        elif inside < 0.0:
            return None
    return end + far * back if near < far < SHAFT_LENGTH else None


def _metres(pose: np.ndarray) -> np.ndarray:
    pose = pose.copy()
    pose[:3, 3] *= MM
    return pose
