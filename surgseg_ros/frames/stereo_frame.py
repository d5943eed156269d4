"""What one stereo frame holds, whichever source it came from, and the ground truth beside it."""

from dataclasses import dataclass, field

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration


@dataclass(frozen=True)
class ToolTruth:
    """One instrument as it really is.

    pose: 4x4, left optical frame (x right, y down, z forward) from tool frame, metres; the tool's
    origin is the midpoint of the jaw tips on the tool's centre line, +z distal along the shaft.
    jaw_angle: full opening between the jaws, rad.
    """

    slot: int
    class_id: int
    class_name: str
    pose: np.ndarray
    jaw_angle: float


@dataclass(frozen=True)
class GroundTruth:
    """Exact truth of a frame in the left view; what a source does not know is None.

    disparity: HxW float32 px (x_left - x_right on the rectified pair), NaN unknown.
    parts: HxW uint8, values of parts.Part. instances: HxW uint8, 0 tissue, else the tool's slot
    (1..).
    """

    disparity: np.ndarray | None = None
    parts: np.ndarray | None = None
    instances: np.ndarray | None = None
    tools: tuple[ToolTruth, ...] = field(default=())


@dataclass(frozen=True)
class StereoFrame:
    """One pair of images: HxWx3 uint8 RGB, stamp in nanoseconds, calibration or None."""

    stamp: int
    left: np.ndarray
    right: np.ndarray
    calibration: StereoCalibration | None = None
    frame_id: str = 'endoscope_left_optical'
    truth: GroundTruth | None = None
