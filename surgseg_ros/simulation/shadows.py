"""What casts shadows: each instrument as a few capsules, and where their shadows can fall."""

import numpy as np

from surgseg_ros.simulation.instruments import SHAFT_RADIUS, InstrumentType, LinkPoses
from surgseg_ros.simulation.shading import SHADOW_MARGIN, Vector, View

VISIBLE_SHAFT = 90.0  # mm of shaft that can throw a shadow into view
DEEPEST = 130.0  # mm, no surface lies farther away


def shadow_casters(
    tools: list[LinkPoses], kinds: list[InstrumentType], view: View, lamp: Vector, distance: float
) -> np.ndarray:
    """Return the capsules of all instruments under this lamp, C x 12 as Surfaces.casters says.

    distance: of the tissue, in the usual one.
    """
    deepest = DEEPEST * distance
    rows = []
    for slot, (tool, kind) in enumerate(zip(tools, kinds, strict=True), 1):
        end, z = tool.shaft[:3, 3], tool.shaft[:3, 2]
        joint = (tool.wrist @ (0.0, 0.0, kind.wrist, 1.0))[:3]
        tips = [(jaw @ (0.7, 0.0, kind.jaw.length - 1.0, 1.0))[:3] for jaw in tool.jaws]
        capsules = [(end - VISIBLE_SHAFT * z, end + 3.0 * z, SHAFT_RADIUS), (end, joint, 2.6)]
        capsules += [(joint, tip, 1.2) for tip in tips]
        rows += [(*a, *b, r, slot, *_reach(a, b, r, view, lamp, deepest)) for a, b, r in capsules]
    return np.array(rows, np.float64).reshape(-1, 12)


def _reach(
    a: np.ndarray, b: np.ndarray, radius: float, view: View, key: Vector, deepest: float
) -> tuple[float, ...]:
    """Return the image rectangle (px) that holds a capsule and its shadow down to this depth."""
    lamp = np.array(key)
    if min(a[2], b[2]) < 25.0:  # too near the lens to project; keep the part in front
        nearer, farther = (a, b) if a[2] < b[2] else (b, a)
        if farther[2] <= 25.0:
            return 0.0, 0.0, *view.geom.shape[::-1]
        a = nearer + (farther - nearer) * (25.0 - nearer[2]) / (farther[2] - nearer[2])
        b = farther
    ends = np.array([a, b])
    thrown = lamp + (ends - lamp) * ((deepest - lamp[2]) / (ends[:, 2:] - lamp[2]))
    points = np.concatenate([ends, thrown])
    scale = view.f / points[:, 2]
    u = (points[:, 0] - view.eye) * scale + view.cx
    v = points[:, 1] * scale + view.cy
    margin = float(np.max((radius + SHADOW_MARGIN) * scale))
    return u.min() - margin, v.min() - margin, u.max() + margin, v.max() + margin
