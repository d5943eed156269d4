"""The two straight lines that bound a shaft in the image."""

from dataclasses import dataclass

import numba
import numpy as np

HYPOTHESES = 200
BLOCKS = 10  # of a line, whose scatter says how good it is, correlated errors included
MIN_POINTS = 12


@dataclass(frozen=True)
class Edge:
    """One line. points: B x 2 px on it. stddev: B px across it. normal: (2,) outwards."""

    points: np.ndarray
    stddev: np.ndarray
    normal: np.ndarray


@numba.njit(cache=True, nogil=True)
def border_points(part: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Where a region ends and free background begins: N x 4, u v px and the outward step.

    part, free: HxW bool. A border lies midway between two pixels.
    """
    height, width = part.shape
    found = np.empty((4 * (height + width) + 64, 4), np.float32)
    count = 0
    for v in range(height):
        for u in range(width):
            if not part[v, u]:
                continue
            for k in range(4):
                du, dv = (1, 0, -1, 0)[k], (0, 1, 0, -1)[k]
                x, y = u + du, v + dv
                if 0 <= x < width and 0 <= y < height and free[y, x]:
                    if count == len(found):
                        more = np.empty((2 * count, 4), np.float32)
                        more[:count] = found
                        found = more
                    found[count, 0], found[count, 1] = u + 0.5 * du, v + 0.5 * dv
                    found[count, 2], found[count, 3] = du, dv
                    count += 1
    return found[:count]


def shaft_edges(part: np.ndarray, free: np.ndarray) -> list[Edge]:
    """Find the (up to two) straight borders of a shaft, the longer one first.

    part: HxW bool, the shaft. free: HxW bool, where nothing hides the background. Specular holes,
    ragged borders and threads are outliers of a RANSAC over pairs of border points.
    """
    points = border_points(part, free).astype(np.float64)
    rng = np.random.default_rng(0)
    edges: list[Edge] = []
    while len(edges) < 2 and len(points) >= MIN_POINTS:
        opposite = edges[0].normal if edges else None
        found = _ransac(points, rng, opposite)
        if found is None:
            break
        edge, inliers = found
        edges.append(edge)
        points = points[~inliers & (points[:, 2:] @ edge.normal < 0)]
    return edges


def _ransac(
    points: np.ndarray, rng: np.random.Generator, opposite: np.ndarray | None
) -> tuple[Edge, np.ndarray] | None:
    first, second = rng.integers(0, len(points), (2, HYPOTHESES))
    along = points[second, :2] - points[first, :2]
    length = np.hypot(*along.T)
    normal = np.column_stack([-along[:, 1], along[:, 0]]) / np.maximum(length, 1e-9)[:, None]
    outward = np.sign(np.einsum('ij,ij->i', normal, points[first, 2:]))
    normal *= outward[:, None]
    usable = (length > 6) & (outward != 0)
    if opposite is not None:
        usable &= normal @ opposite < -0.8
    if not usable.any():
        return None
    normal, start = normal[usable], points[first[usable], :2]
    chosen = points[:: max(1, len(points) // 400)]
    distance = chosen[:, :2] @ normal.T - np.einsum('ij,ij->i', normal, start)
    fits = (np.abs(distance) < 1.2) & (chosen[:, 2:] @ normal.T > 0)
    best = int(np.argmax(fits.sum(axis=0)))
    return _refined(points, normal[best], float(normal[best] @ start[best]))


def _refined(
    points: np.ndarray, normal: np.ndarray, offset: float
) -> tuple[Edge, np.ndarray] | None:
    """Least squares over the inliers, twice."""
    inliers = np.zeros(len(points), bool)
    for limit in (1.5, 1.2):
        distance = points[:, :2] @ normal - offset
        inliers = (np.abs(distance) < limit) & (points[:, 2:] @ normal > 0)
        if inliers.sum() < MIN_POINTS:
            return None
        centre = points[inliers, :2].mean(axis=0)
        _, vectors = np.linalg.eigh(np.cov((points[inliers, :2] - centre).T))
        normal = vectors[:, 0] * np.sign(vectors[:, 0] @ normal)
        offset = float(normal @ centre)
    return _blocks(points[inliers, :2], normal, offset), inliers


def _blocks(points: np.ndarray, normal: np.ndarray, offset: float) -> Edge:
    """Mean position of each block along the line, and how far such means scatter."""
    tangent = np.array([-normal[1], normal[0]])
    along, across = points @ tangent, points @ normal - offset
    low, high = along.min(), along.max()
    block = np.minimum((BLOCKS * (along - low) / max(high - low, 1e-9)).astype(int), BLOCKS - 1)
    count = np.bincount(block, minlength=BLOCKS)
    kept = count >= max(3, 0.25 * len(points) / BLOCKS)
    count = np.maximum(count, 1)
    u = np.bincount(block, along, BLOCKS) / count
    mean = np.bincount(block, across, BLOCKS) / count
    spread = max(float(np.sqrt(np.mean(mean[kept] ** 2))) if kept.any() else 0.3, 0.03)
    centres = (mean + offset)[:, None] * normal + u[:, None] * tangent
    return Edge(centres[kept], np.full(int(kept.sum()), spread), normal)
