"""What a bag says of an instrument: poses that the camera saw, and poses that its arm reported."""

from pathlib import Path

import numpy as np

from surgseg_ros.bags.reader import BagReader
from surgseg_ros.frames.tool_pose import KeypointKind, PoseState, ToolPose
from surgseg_ros.geometry.hand_eye_timing import Sightings
from surgseg_ros.geometry.pose_track import PoseTrack
from surgseg_ros.rosdata.messages import matrix_from_pose, stamp_of
from surgseg_ros.rosdata.tool_poses import tools_from_message

_LEAST_SIGMA = 1e-4  # m: the truth of a simulator has no covariance


def read_sightings(
    bag: Path, topic: str, slot: int, point: KeypointKind = KeypointKind.WRIST_YAW
) -> Sightings:
    """Measured control points (or other keypoints) of the tool in `slot`, of a ToolPoses topic.

    Poses that are INVALID, PREDICTED or MONOCULAR are left out. Raises ValueError where the bag
    has no such topic, or nothing of this tool.
    """
    stamps, points, covariances = [], [], []
    with BagReader(bag) as reader:
        _require(reader, bag, topic, 'ToolPoses')
        for item in reader.messages([topic]):
            for tool in tools_from_message(item.message):
                if tool.slot == slot and tool.state == PoseState.MEASURED:
                    position, covariance = _seen(tool, point)
                    stamps.append(stamp_of(item.message))
                    points.append(position)
                    covariances.append(covariance)
    if not stamps:
        raise ValueError(f'{bag}: {topic} has no measured pose of tool {slot}')
    order = np.argsort(np.array(stamps), kind='stable')
    return Sightings(
        np.array(stamps, np.int64)[order], np.array(points)[order], np.array(covariances)[order]
    )


def read_track(bag: Path, topic: str) -> PoseTrack:
    """Poses of a PoseStamped topic, by header stamp; ValueError where there are not two."""
    with BagReader(bag) as reader:
        _require(reader, bag, topic, 'PoseStamped')
        found = [
            (stamp_of(item.message), matrix_from_pose(item.message.pose))
            for item in reader.messages([topic])
        ]
    stamps, poses = [stamp for stamp, _ in found], [pose for _, pose in found]
    try:
        return PoseTrack.of(np.array(stamps, np.int64), np.array(poses).reshape(-1, 4, 4))
    except ValueError as error:
        raise ValueError(f'{bag}: {topic}: {error}') from error


def _seen(tool: ToolPose, point: KeypointKind) -> tuple[np.ndarray, np.ndarray]:
    if point == KeypointKind.WRIST_YAW:
        position, covariance = tool.control_point[:3, 3], tool.control_covariance[:3, :3]
    else:
        position = tool.point(point)
        known = tool.keypoints.get(point)
        covariance = known.covariance if known else np.zeros((3, 3))
    return position, covariance + _LEAST_SIGMA**2 * np.eye(3)


def _require(reader: BagReader, bag: Path, topic: str, kind: str) -> None:
    known = reader.topics.get(topic)
    if known is None or not known.type_name.endswith(f'/{kind}'):
        same = [name for name, one in reader.topics.items() if one.type_name.endswith(f'/{kind}')]
        raise ValueError(
            f'{bag} has no topic {topic} of type {kind}; of this type it has: '
            f'{", ".join(same) or "none"}'
        )
