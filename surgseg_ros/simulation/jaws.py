"""Jaw meshes of the usual da Vinci instruments.

Jaw frame: origin on the jaw joint, z towards the tip, the jaws meet in the plane x = 0 and this
jaw lies at x >= 0; y along the joint. Millimetres.
"""

from dataclasses import dataclass

import numpy as np

ROOT = 1.5  # mm, where the jaw's own shape begins, beyond the joint's disc


@dataclass(frozen=True)
class JawShape:
    """Length from joint to tip, width (y) and thickness (x) at root and tip, mm.

    bow: how far the jaw bulges outwards halfway, mm. teeth: number of notches on the inner face.
    window: whether the jaw is a frame around an opening (fenestrated).
    """

    length: float
    width: tuple[float, float]
    thickness: tuple[float, float]
    bow: float = 0.0
    teeth: int = 0
    window: bool = False


def jaw_mesh(shape: JawShape) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices n x 3 (mm) and triangles m x 3 (outward) of one jaw."""
    return _frame(shape) if shape.window else _blade(shape)


def _blade(shape: JawShape) -> tuple[np.ndarray, np.ndarray]:
    """Loft half-octagons (flat on the inner face) from the root to the tip."""
    z = np.linspace(ROOT, shape.length, 1 + max(12, 4 * shape.teeth))
    t = (z - ROOT) / (shape.length - ROOT)
    rounded = np.sqrt(1.0 - np.clip((t - 0.88) / 0.13, 0.0, 1.0) ** 2)
    width = np.interp(t, (0, 1), shape.width) * rounded
    thickness = np.interp(t, (0, 1), shape.thickness) * rounded
    inner = shape.bow * np.sin(np.pi * t) + 0.05
    if shape.teeth:
        inner = inner + 0.3 * ((np.arange(len(z)) // 2) % 2)
    sections = [
        np.array([(0.0, -0.5), (0.6, -0.5), (1.0, -0.25), (1.0, 0.25), (0.6, 0.5), (0.0, 0.5)])
        * (thickness[i], width[i])
        + (inner[i], 0.0)
        for i in range(len(z))
    ]
    rings = [np.column_stack([s, np.full(len(s), h)]) for s, h in zip(sections, z, strict=True)]
    return _loft(rings, closed=False)


def _frame(shape: JawShape) -> tuple[np.ndarray, np.ndarray]:
    """Sweep a small rectangle around a stadium-shaped opening in the y-z plane."""
    angle = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    rim = 0.5 * (shape.width[0] - 1.1)
    straight = 0.5 * (shape.length - ROOT) - rim - 0.55
    middle = 0.5 * (shape.length + ROOT)
    cos, sin = np.cos(angle), np.sin(angle)
    rings = []
    for c, s in zip(cos, sin, strict=True):
        z, y = middle + rim * c + straight * np.sign(c) * (abs(c) > 1e-9), rim * s
        t = (z - ROOT) / (shape.length - ROOT)
        depth = np.interp(t, (0, 1), shape.thickness)
        out = np.array([0.0, s, c]) * 0.55
        low = np.array([0.05 + shape.bow * np.sin(np.pi * t), y, z])
        high = low + (depth, 0.0, 0.0)
        rings.append(np.array([low - out, high - 0.7 * out, high + 0.7 * out, low + out]))
    return _loft(rings, closed=True)


def _loft(rings: list[np.ndarray], closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Join rings of equal length by quads; cap both ends unless the rings close in a loop."""
    n, k = len(rings), len(rings[0])
    i, j = np.meshgrid(np.arange(n if closed else n - 1), np.arange(k), indexing='ij')
    a, b = i * k + j, i * k + (j + 1) % k
    c, d = (i + 1) % n * k + j, (i + 1) % n * k + (j + 1) % k
    faces = np.concatenate(
        [np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]
    )
    if not closed:
        fan = np.array([(0, m + 1, m) for m in range(1, k - 1)])
        faces = np.concatenate([faces, fan, fan[:, ::-1] + (n - 1) * k])
    vertices = np.concatenate(rings)
    return vertices, _outward(vertices, faces)


def _outward(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Flip all triangles when the signed volume is negative."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    volume = np.einsum('ij,ij->i', a, np.cross(b, c)).sum()
    return faces if volume > 0 else faces[:, ::-1]
