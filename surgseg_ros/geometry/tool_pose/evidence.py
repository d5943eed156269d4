"""What an instrument's pose is estimated from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.parts import Part

ASSUMED_STDDEV = 0.5  # px, for a disparity without a standard deviation
BLOCKS = 25  # errors of a matcher are correlated: so many independent ones on one part


@dataclass(frozen=True)
class Camera:
    """Left camera of a rectified pair. f, cx, cy: px. baseline: m."""

    f: float
    cx: float
    cy: float
    baseline: float

    @classmethod
    def of(cls, calibration: StereoCalibration) -> 'Camera':
        """Take what is needed."""
        P = calibration.left.P
        return cls(float(P[0, 0]), float(P[0, 2]), float(P[1, 2]), calibration.baseline)

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """N x 2 px -> N x 3 with z = 1."""
        x, y = (pixels[:, 0] - self.cx) / self.f, (pixels[:, 1] - self.cy) / self.f
        return np.column_stack([x, y, np.ones(len(pixels))])

    def project(self, points: np.ndarray) -> np.ndarray:
        """... x 3 m -> ... x 2 px; NaN behind the camera."""
        z = np.where(points[..., 2:] > 1e-6, points[..., 2:], np.nan)
        return self.f * points[..., :2] / z + (self.cx, self.cy)


@dataclass(frozen=True)
class Evidence:
    """One instrument in the left view.

    parts: HxW uint8, values of frames.parts.Part, NONE where this instrument is not.
    others: HxW bool, where another instrument is seen, or None. disparity: HxW float32 px without
    cx_left - cx_right, NaN unknown, or None (then the pose is monocular). stddev: HxW float32 px
    or None: ASSUMED_STDDEV. camera: of these images.
    """

    parts: np.ndarray
    camera: Camera
    disparity: np.ndarray | None = None
    stddev: np.ndarray | None = None
    others: np.ndarray | None = None

    @cached_property
    def has_parts(self) -> bool:
        """Whether the mask tells shaft from wrist and jaws."""
        return bool((self.parts == Part.SHAFT).any())

    @cached_property
    def depth_known(self) -> bool:
        """Whether there is any disparity on the instrument."""
        if self.disparity is None:
            return False
        return int(np.count_nonzero(self.disparity[self.parts > 0] > 0)) >= BLOCKS
