"""What one stereo frame holds, whichever source it came from, and the ground truth beside it."""

from dataclasses import dataclass, field

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.tool_pose import ToolPose


@dataclass(frozen=True)
class ArmState:
    """What a robot arm reports about the instrument that it holds, in the terms of the CRTK.

    name: 'PSM1'; measured_cp: 4x4, base frame from control point, m. joint_names, positions: of
    measured_js, rad or m. jaw: opening, rad. base: 4x4, left optical frame from base frame, m: the
    ground truth, which the arm does not know.
    """

    name: str
    slot: int
    measured_cp: np.ndarray
    joint_names: tuple[str, ...]
    positions: np.ndarray
    jaw: float
    base: np.ndarray


@dataclass(frozen=True)
class GroundTruth:
    """Exact truth of a frame in the left view; what a source does not know is None.

    disparity: HxW float32 px (x_left - x_right on the rectified pair), NaN unknown.
    parts: HxW uint8, values of parts.Part. instances: HxW uint8, 0 tissue, else the tool's slot
    (1..). tools: the true pose of each, also of one that is hidden or outside the image.
    """

    disparity: np.ndarray | None = None
    parts: np.ndarray | None = None
    instances: np.ndarray | None = None
    tools: tuple[ToolPose, ...] = field(default=())


@dataclass(frozen=True)
class LeftFrame:
    """One left image: HxWx3 uint8 RGB, stamp in nanoseconds.

    jumps: how often time has jumped until then in the stream that the frame comes from, where
    that is known: another number than that of the frame before begins a new scene.
    """

    stamp: int
    left: np.ndarray
    jumps: int = field(default=0, kw_only=True)


@dataclass(frozen=True)
class StereoFrame(LeftFrame):
    """One pair of images: HxWx3 uint8 RGB, stamp in nanoseconds, calibration or None.

    arms: what robot arms reported at that time.
    """

    right: np.ndarray
    calibration: StereoCalibration | None = None
    frame_id: str = 'endoscope_left_optical'
    truth: GroundTruth | None = None
    arms: tuple[ArmState, ...] = ()
