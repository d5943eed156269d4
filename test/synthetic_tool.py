"""An instrument of coaxial rods: masks and disparities computed by intersecting rays."""

import numpy as np

from surgseg_ros.frames.parts import Part
from surgseg_ros.geometry.tool_pose.evidence import Camera
from surgseg_ros.geometry.tool_pose.instruments import InstrumentTable

SIZE = (256, 320)
CAMERA = Camera(265.0, 159.5, 127.5, 0.0043)
RADIUS = 0.004
SHAPES = {
    'default': dict(
        radius=4.0, radius_stddev=0.01, pitch=7.5, wrist=9.1, jaws=10.0, length_stddev=0.2,
        jaw_width=[4.0, 2.0], jaw_thickness=[2.0, 1.0], pitch_limit=80, yaw_limit=80,
        opening_limit=60, symmetric=True,
    )
}  # fmt: skip
SHAPE = InstrumentTable(SHAPES).shape('any')
END = np.array([-0.006, 0.002, 0.07])
AXIS = np.array([-0.8, -0.2, 0.3]) / np.linalg.norm([-0.8, -0.2, 0.3])


def rods(*parts: tuple[Part, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Parts and disparity of coaxial rods: (part, from, to along the axis in m, radius in m)."""
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    rays = CAMERA.rays(np.column_stack([u.ravel(), v.ravel()]).astype(float))
    across = rays - np.outer(rays @ AXIS, AXIS)
    centre = END - (END @ AXIS) * AXIS
    a, b = (across**2).sum(1), across @ centre
    nearest = np.full(len(rays), np.inf)
    labels = np.zeros(len(rays), np.uint8)
    for part, start, stop, radius in parts:
        with np.errstate(invalid='ignore'):
            z = (b - np.sqrt(b * b - a * (centre @ centre - radius**2))) / a
        along = (rays * z[:, None] - END) @ AXIS
        hit = (along > start) & (along < stop) & (z < nearest)
        nearest[hit], labels[hit] = z[hit], part
    disparity = CAMERA.f * CAMERA.baseline / nearest
    disparity[labels == 0] = np.nan
    return labels.reshape(SIZE), disparity.reshape(SIZE).astype(np.float32)


def straight_tool() -> tuple[np.ndarray, np.ndarray]:
    """Parts and disparity of a straight instrument: shaft, wrist, closed jaws."""
    return rods(
        (Part.SHAFT, -0.2, 0.0, RADIUS),
        (Part.WRIST, 0.0, 0.0166, 0.003),
        (Part.JAW, 0.0166, 0.0266, 0.0015),
    )
