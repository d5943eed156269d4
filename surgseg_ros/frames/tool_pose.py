"""Where an instrument is: the same numbers as msg/ToolPose.msg and msg/ToolKeypoint.msg.

All poses are 4x4 rigid transforms, left optical frame (x right, y down, z forward) from the named
frame, metres. Covariances are 6x6 of x, y, z and the rotations about the axes of the left optical
frame (m^2, m rad, rad^2); the true pose of a simulator has zeros.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

import numpy as np


class KeypointKind(IntEnum):
    """Points of an instrument, numbered as in msg/ToolKeypoint.msg.

    SHAFT_END: where the tube ends, on its centre line. WRIST_PITCH, WRIST_YAW: where these joints'
    axes meet the centre line; the jaws turn about the yaw axis. JAW_TIP_1 lies towards +y of the
    control point, JAW_TIP_2 towards -y. JAW_TIPS: the middle of the two. ENTRY: where the
    shaft's centre line enters the picture.
    """

    SHAFT_END = 1
    WRIST_PITCH = 2
    WRIST_YAW = 3
    JAW_TIP_1 = 4
    JAW_TIP_2 = 5
    JAW_TIPS = 6
    ENTRY = 7


class PoseState(IntEnum):
    """Whether a pose was seen in this frame, only predicted, or is none at all."""

    MEASURED = 0
    PREDICTED = 1
    INVALID = 2


class PoseReason(IntFlag):
    """Why a pose is less than perfect, bits as in msg/ToolPose.msg.

    FEW_POINTS: too few pixels or points. LEAVES_IMAGE: its distal end is not in the picture.
    BAD_DEPTH: the disparity contradicts the outline. MONOCULAR: no disparity was used.
    ROLL_UNKNOWN: nothing shows how far it is turned about its shaft. HALF_TURN: half a turn about
    the jaws' bisector would look the same. ONE_JAW: the two jaws cannot be told apart.
    """

    NONE = 0
    FEW_POINTS = 1
    LEAVES_IMAGE = 2
    BAD_DEPTH = 4
    MONOCULAR = 8
    ROLL_UNKNOWN = 16
    HALF_TURN = 32
    ONE_JAW = 64


def _unknown(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan)


@dataclass(frozen=True)
class ToolKeypoint:
    """pixel: (2,) u, v px, NaN unknown. point: (3,) m. covariance: 3x3 m^2 of the point.

    visible: whether the picture shows it: inside, and hidden by nothing but its own instrument.
    """

    point: np.ndarray
    pixel: np.ndarray = field(default_factory=lambda: _unknown(2))
    covariance: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    visible: bool = False


@dataclass(frozen=True)
class ToolJoints:
    """Joints as on a da Vinci, rad, with the signs of the dVRK.

    roll: about the shaft, the arm's fourth joint. pitch, yaw: of the wrist, 0 where it is
    straight; yaw is the jaws' common angle. opening: between the two jaws.
    """

    roll: float
    pitch: float
    yaw: float
    opening: float


@dataclass(frozen=True)
class ToolPose:
    """One instrument in one frame, as estimated or as it really is.

    shaft: origin where the tube ends, on its centre line; +z distal. Its turn about z is the
    roll of the wrist's joints (x along the pitch axis) where that is known.
    control_point: origin on the wrist yaw axis, as the dVRK's measured_cp: z along the jaws'
    bisector, x along the yaw axis.
    keypoints: by kind; what is unknown is absent.
    twist: (6,) linear m/s and angular rad/s of the control point.
    jaw_angle: full opening, rad, NaN unknown; jaw_variance: rad^2.
    joints: where they are known. insertion_point: (3,) m, the remote centre about which the
    instrument pivots, where it is known. radius: of the shaft, m.
    """

    slot: int
    shaft: np.ndarray
    control_point: np.ndarray
    keypoints: Mapping[KeypointKind, ToolKeypoint] = field(default_factory=dict)
    jaw_angle: float = np.nan
    jaw_variance: float = 0.0
    class_id: int = 0
    class_name: str = ''
    score: float = 1.0
    track_id: int = 0
    state: PoseState = PoseState.MEASURED
    reasons: PoseReason = PoseReason.NONE
    shaft_covariance: np.ndarray = field(default_factory=lambda: np.zeros((6, 6)))
    control_covariance: np.ndarray = field(default_factory=lambda: np.zeros((6, 6)))
    twist: np.ndarray = field(default_factory=lambda: np.zeros(6))
    twist_covariance: np.ndarray = field(default_factory=lambda: np.zeros((6, 6)))
    joints: ToolJoints | None = None
    insertion_point: np.ndarray | None = None
    radius: float = 0.004

    def point(self, kind: KeypointKind) -> np.ndarray:
        """(3,) m of a keypoint, NaN where it is unknown."""
        return self.keypoints[kind].point if kind in self.keypoints else _unknown(3)

    @property
    def axis(self) -> np.ndarray:
        """(3,) direction of the shaft, towards its distal end."""
        return self.shaft[:3, 2]

    @property
    def pose(self) -> np.ndarray:
        """4x4: the shaft's axes, at the middle of the jaw tips."""
        pose = self.shaft.copy()
        pose[:3, 3] = self.point(KeypointKind.JAW_TIPS)
        return pose


def jaw_tips_pose(tool: ToolPose) -> np.ndarray:
    """4x4: the control point's axes, at the middle of the jaw tips (`control_point:=jaw_tips`)."""
    pose = tool.control_point.copy()
    pose[:3, 3] = tool.point(KeypointKind.JAW_TIPS)
    return pose
