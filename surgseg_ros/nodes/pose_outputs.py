"""What tool_pose_node publishes: functions that make messages, and their topics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.tissue_distance import TissueDistance
from surgseg_ros.frames.tool_pose import PoseState, ToolPose, jaw_tips_pose
from surgseg_ros.geometry.points import disparity_to_cloud
from surgseg_ros.msg import TissueDistances, ToolPoses
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.parameters import Parameters
from surgseg_ros.nodes.stream import Frame, Output
from surgseg_ros.perception.pose import PoseResult
from surgseg_ros.rosdata import messages, pose_messages, tool_poses
from surgseg_ros.tracking.pose_filter import moved

TISSUE = ('markers', 'tissue_depth', 'tissue_points2', 'tissue_distance')


@dataclass(frozen=True)
class Located:
    """tools and distances in the frame of `header`; result in the camera's."""

    header: Header
    tools: Sequence[ToolPose]
    distances: Sequence[TissueDistance]
    result: PoseResult
    calibration: StereoCalibration

    @classmethod
    def of(
        cls,
        frame: Frame,
        result: PoseResult,
        calibration: StereoCalibration,
        target: str,
        target_from_camera: np.ndarray | None,
    ) -> 'Located':
        """Move a result into the frame `target`, unless the transform (4x4) is None."""
        if target_from_camera is None:
            return cls(frame.header, result.tools, result.distances, result, calibration)
        header = Header(stamp=frame.header.stamp, frame_id=target)
        tools = [moved(tool, target_from_camera) for tool in result.tools]
        distances = [_moved(one, target_from_camera) for one in result.distances]
        return cls(header, tools, distances, result, calibration)


def _moved(one: TissueDistance, transform: np.ndarray) -> TissueDistance:
    tip, tissue = (
        transform[:3, :3] @ point + transform[:3, 3] for point in (one.tip, one.nearest_tissue)
    )
    return replace(one, tip=tip, nearest_tissue=tissue)


def _tool_poses(frame: Frame, found: Located, p: Parameters) -> object:
    return tool_poses.tool_poses(make_message, found.header, found.tools)


def _transforms(frame: Frame, found: Located, p: Parameters) -> object:
    return pose_messages.transforms(make_message, found.header, found.tools)


def _markers(frame: Frame, found: Located, p: Parameters) -> object:
    return pose_messages.markers(make_message, found.header, found.tools, found.distances)


def _tissue_distance(frame: Frame, found: Located, p: Parameters) -> object:
    return pose_messages.tissue_distances(make_message, found.header, found.distances)


def _tissue_depth(frame: Frame, found: Located, p: Parameters) -> object:
    depth = found.result.tissue_depth
    return None if depth is None else messages.image(make_message, frame.header, depth, '32FC1')


def _tissue_camera(frame: Frame, found: Located, p: Parameters) -> object:
    return messages.camera_info(make_message, frame.header, frame.cameras['left'])


def _tissue_points(frame: Frame, found: Located, p: Parameters) -> object:
    if found.result.tissue is None:
        return None
    cloud = disparity_to_cloud(found.result.tissue, found.calibration)
    return messages.point_cloud2(make_message, frame.header, cloud)


def _valid(found: Located, slot: int) -> ToolPose | None:
    """The pose of a slot; None where there is none or it is invalid, as the CRTK has it."""
    for tool in found.tools:
        if tool.slot == slot and tool.state != PoseState.INVALID:
            return tool
    return None


def _measured_cp(slot: int) -> Callable[[Frame, Located, Parameters], object]:
    def make(frame: Frame, found: Located, p: Parameters) -> object:
        tool = _valid(found, slot)
        if tool is None:
            return None
        tips = p.control_point == 'jaw_tips'
        pose = jaw_tips_pose(tool) if tips else tool.control_point
        return pose_messages.pose_stamped(make_message, found.header, pose)

    return make


def _measured_js(slot: int) -> Callable[[Frame, Located, Parameters], object]:
    def make(frame: Frame, found: Located, p: Parameters) -> object:
        tool = _valid(found, slot)
        if tool is None or not np.isfinite(tool.jaw_angle):
            return None
        return pose_messages.jaw_state(make_message, found.header, tool.jaw_angle)

    return make


def slot_outputs(slot: int, name: str = '') -> tuple[Output, ...]:
    """Topics of one instrument; name: how the table of topics calls the slot."""
    place = f'tool{name or slot}'
    return (
        Output(
            'measured_cp',
            PoseStamped,
            f'{place}/measured_cp',
            _measured_cp(slot),
            "CRTK: the control point as the dVRK means it, on the jaws' axis; nothing while "
            'invalid',
        ),
        Output(
            'measured_js',
            JointState,
            f'{place}/jaw/measured_js',
            _measured_js(slot),
            'CRTK: opening between the jaws, rad; nothing while invalid',
        ),
    )


COMMON = (
    Output('tool_poses', ToolPoses, 'tool_poses', _tool_poses, 'pose, covariance, keypoints'),
    Output('tf', TFMessage, '/tf', _transforms, 'tool<slot>_shaft and tool<slot>_control_point'),
    Output('markers', MarkerArray, 'markers', _markers, 'axes, keypoints, distances, for people'),
    Output(
        'tissue_depth',
        Image,
        'tissue_depth',
        _tissue_depth,
        '32FC1, m; NaN on dilated instruments and where unknown',
    ),
    Output(
        'tissue_depth', CameraInfo, 'tissue_depth/camera_info', _tissue_camera, 'of tissue_depth'
    ),
    Output(
        'tissue_points2',
        PointCloud2,
        'tissue_points2',
        _tissue_points,
        'organised x y z, m, without instruments; NaN unknown',
    ),
    Output(
        'tissue_distance',
        TissueDistances,
        'tissue_distance',
        _tissue_distance,
        'distance of the tip and the shaft of each instrument from tissue; OK, WARN or UNKNOWN',
    ),
)
