"""The shaft as a cylinder: surface points, the lines that bound it and its known radius.

A tangent plane of the cylinder through the camera's centre touches it along a visible border: the
ray of a border pixel has the distance `radius` from the axis. A pixel inside sees the nearer of
the two points in which its ray meets the surface. Both are residuals of one least-squares fit
with five unknowns: two shifts and two turns of the axis, and the radius with its prior.
"""

from dataclasses import dataclass

import numba
import numpy as np

from surgseg_ros.geometry.tool_pose.evidence import ASSUMED_STDDEV, BLOCKS, Camera
from surgseg_ros.geometry.tool_pose.outline import Edge

ITERATIONS = 8
_PER_SIDE = 5  # blocks along and across: BLOCKS in all
_EDGE_MARGIN = 0.85  # of the radius: beyond, a surface point says little of depth
_BAD_DEPTH = 4.0  # standard deviations by which outline and disparity may differ


@dataclass(frozen=True)
class ShaftFit:
    """The axis in the left optical frame, m.

    point: (3,) amid what is seen. direction: (3,), distal. radius: m. covariance: 5x5 of shifts
    along across[0] and across[1] (m), turns about across[1] and -across[0] (rad), and radius.
    across: 2 x 3. span: least and greatest distance along the axis of what is seen, from `point`.
    used_depth, bad_depth: whether disparity was used, or contradicts the outline.
    """

    point: np.ndarray
    direction: np.ndarray
    radius: float
    covariance: np.ndarray
    across: np.ndarray
    span: tuple[float, float]
    edges: int
    used_depth: bool
    bad_depth: bool = False

    def line(self, along: float) -> np.ndarray:
        """(3,) m: the centre at a distance along the axis."""
        return np.asarray(self.point + along * self.direction)

    def jacobian(self, along: float) -> np.ndarray:
        """6 x 5: shift and turn of a frame at this distance by the five unknowns."""
        J = np.zeros((6, 5))
        a, b = self.across
        J[:3, 0], J[:3, 1], J[:3, 2], J[:3, 3] = a, b, along * a, along * b
        J[3:, 2], J[3:, 3] = np.cross(self.direction, a), np.cross(self.direction, b)
        return J


@dataclass(frozen=True)
class SurfaceSamples:
    """Pixels on a shaft: N x 3 rays with z = 1, N disparities and N standard deviations, px."""

    rays: np.ndarray
    disparity: np.ndarray
    stddev: np.ndarray


def surface_samples(
    part: np.ndarray,
    disparity: np.ndarray | None,
    stddev: np.ndarray | None,
    camera: Camera,
    corner: tuple[int, int],
    limit: int = 1500,
) -> SurfaceSamples:
    """Take at most about `limit` pixels of a region that have a disparity.

    part, disparity, stddev: crops whose first pixel is `corner` (u, v) of the image.
    """
    step = max(1, int(np.sqrt(np.count_nonzero(part) / limit)))
    rows, columns = np.nonzero(part[::step, ::step])
    rows, columns = rows * step, columns * step
    if disparity is None:
        rows, columns, values = rows[:0], columns[:0], np.zeros(0)
    else:
        values = disparity[rows, columns].astype(np.float64)
    kept = values > 0
    rows, columns = rows[kept], columns[kept]
    sigma = np.full(len(rows), ASSUMED_STDDEV)
    if stddev is not None:
        given = stddev[rows, columns].astype(np.float64)
        sigma = np.where(given > 0, given, ASSUMED_STDDEV)
    pixels = np.column_stack([columns + corner[0], rows + corner[1]]).astype(np.float64)
    return SurfaceSamples(camera.rays(pixels), values[kept], sigma)


@numba.njit(cache=True, nogil=True)
def _depth(ray: np.ndarray, point: np.ndarray, direction: np.ndarray, radius: float) -> float:
    """z at which a ray from the camera first meets the cylinder, NaN if it misses it."""
    rd = ray[0] * direction[0] + ray[1] * direction[1] + ray[2] * direction[2]
    pd = point[0] * direction[0] + point[1] * direction[1] + point[2] * direction[2]
    a = b = c = 0.0
    for i in range(3):
        u, w = ray[i] - rd * direction[i], point[i] - pd * direction[i]
        a, b, c = a + u * u, b + u * w, c + w * w
    root = b * b - a * (c - radius * radius)
    return (b - np.sqrt(root)) / a if root > 0 else np.nan


@numba.njit(cache=True, nogil=True)
def _residuals(
    point: np.ndarray,
    direction: np.ndarray,
    radius: float,
    edge_rays: np.ndarray,
    block_rays: np.ndarray,
    disparities: np.ndarray,
    scale: float,
) -> np.ndarray:
    """Border rays' distance from the surface (m at the axis), then blocks' disparity (px)."""
    n, m = len(edge_rays), len(block_rays)
    out = np.empty(n + m)
    for i in range(n):
        normal = np.cross(edge_rays[i], direction)
        out[i] = abs(np.dot(normal, point)) / np.sqrt(np.dot(normal, normal)) - radius
    for i in range(m):
        z = _depth(block_rays[i], point, direction, radius)
        out[n + i] = disparities[i] - scale / z if z > 0 else 0.0
    return out


@numba.njit(cache=True, nogil=True)
def _surface_errors(
    point: np.ndarray,
    direction: np.ndarray,
    radius: float,
    rays: np.ndarray,
    disparity: np.ndarray,
    scale: float,
) -> np.ndarray:
    out = np.empty(len(rays))
    for i in range(len(rays)):
        z = _depth(rays[i], point, direction, radius)
        out[i] = disparity[i] - scale / z if z > 0 else np.nan
    return out


def _frame(direction: np.ndarray) -> np.ndarray:
    """2 x 3 unit vectors across a direction; the second as nearly along the optical axis."""
    a = np.cross(direction, (0.0, 0.0, 1.0))
    length = np.linalg.norm(a)
    a = a / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])
    return np.stack([a, np.cross(direction, a)])


def _moved(
    point: np.ndarray, direction: np.ndarray, across: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    turned = direction + step[2] * across[0] + step[3] * across[1]
    return point + step[:2] @ across, turned / np.linalg.norm(turned)


def initial_axis(
    edges: list[Edge], samples: SurfaceSamples, radius: float, camera: Camera
) -> tuple[np.ndarray, np.ndarray] | None:
    """Axis from two borders, or from one (or none) and the disparity; None if neither does."""
    planes = [_edge_plane(edge, camera) for edge in edges]
    if len(planes) == 2:
        direction = np.cross(planes[0], planes[1])
        inwards = -(planes[0] + planes[1])
        size, square = float(np.linalg.norm(direction)), float(inwards @ inwards)
        if size > 1e-6 and square > 1e-9:  # planes[i] @ point = -radius for both
            return inwards * (2 * radius / square), direction / size
    if len(samples.disparity) < BLOCKS:
        return None
    return _axis_of_points(planes, samples, radius, camera)


def _edge_plane(edge: Edge, camera: Camera) -> np.ndarray:
    """Unit normal, outwards, of the plane through the camera's centre and a border."""
    rays = camera.rays(edge.points)
    _, vectors = np.linalg.eigh(rays.T @ rays)
    normal = vectors[:, 0]
    return np.asarray(normal * np.sign(normal[:2] @ edge.normal))


def _axis_of_points(
    planes: list[np.ndarray], samples: SurfaceSamples, radius: float, camera: Camera
) -> tuple[np.ndarray, np.ndarray] | None:
    """RANSAC of a plane through the surface; the axis lies a radius behind it."""
    points = samples.rays * (camera.f * camera.baseline / samples.disparity)[:, None]
    A = np.column_stack([samples.rays[:, :2], np.ones(len(points))])  # 1/z is linear on a plane
    rng, best, most = np.random.default_rng(0), np.ones(len(points), bool), 0
    for _ in range(50):
        chosen = rng.integers(0, len(points), 3)
        if abs(np.linalg.det(A[chosen])) < 1e-9:
            continue
        plane = np.linalg.solve(A[chosen], samples.disparity[chosen])
        fits = np.abs(A @ plane - samples.disparity) < 2 * samples.stddev + 0.5
        if fits.sum() > most:
            best, most = fits, int(fits.sum())
    inliers = points[best]
    centre = np.median(inliers, axis=0)
    _, vectors = np.linalg.eigh(np.cov((inliers - centre).T))
    direction = vectors[:, 2]
    if planes:
        direction = direction - (direction @ planes[0]) * planes[0]
        direction /= np.linalg.norm(direction)
    away = centre - (centre @ direction) * direction
    return centre + radius * away / np.linalg.norm(away), direction


def fit_shaft(
    edges: list[Edge],
    samples: SurfaceSamples,
    radius: tuple[float, float],
    camera: Camera,
    distal: np.ndarray,
    part_pixels: np.ndarray,
) -> ShaftFit | None:
    """Fit the cylinder.

    radius: (m, standard deviation). distal: (2,) px, where the instrument's end is seen.
    part_pixels: N x 2 px that belong to the shaft. None where there is too little to fit.
    """
    start = initial_axis(edges, samples, radius[0], camera)
    if start is None:
        return None
    point, direction = _towards(*start, distal, part_pixels, camera)
    alone = _solve(point, direction, edges, None, radius, camera)
    if len(samples.disparity) < BLOCKS:
        return _fitted(alone, part_pixels, camera, len(edges), False, False)
    start = (alone[0], alone[1]) if len(edges) == 2 else (point, direction)
    both = _solve(*start, edges, samples, radius, camera)
    bad = len(edges) == 2 and _contradicts(alone, samples, camera)
    return _fitted(alone if bad else both, part_pixels, camera, len(edges), not bad, bad)


_Solution = tuple[np.ndarray, np.ndarray, float, np.ndarray, np.ndarray]


def _contradicts(alone: _Solution, samples: SurfaceSamples, camera: Camera) -> bool:
    """Whether most of the disparity lies far from where outline and radius put the shaft."""
    point, direction, radius, covariance, across = alone
    scale = camera.f * camera.baseline
    errors = _surface_errors(point, direction, radius, samples.rays, samples.disparity, scale)
    errors = errors[np.isfinite(errors)]
    if len(errors) < BLOCKS:
        return True
    depth = float(np.linalg.norm(point))
    by_outline = np.sqrt(covariance[1, 1] + covariance[0, 0]) * scale / depth**2
    allowed = np.hypot(by_outline, float(np.median(samples.stddev)))
    return bool(abs(np.median(errors)) > _BAD_DEPTH * allowed + 0.05 * scale / depth)


def _towards(
    point: np.ndarray,
    direction: np.ndarray,
    distal: np.ndarray,
    pixels: np.ndarray,
    camera: Camera,
) -> tuple[np.ndarray, np.ndarray]:
    """Put the point amid what is seen and let the direction lead to the distal end."""
    ray = camera.rays(pixels.mean(axis=0)[None])[0]
    point = point + _along(ray, point, direction) * direction
    ahead = camera.project(np.stack([point, point + 0.1 * point[2] * direction]))
    sign = np.sign((ahead[1] - ahead[0]) @ (distal - pixels.mean(axis=0))) or 1.0
    return point, sign * direction


def _along(ray: np.ndarray, point: np.ndarray, direction: np.ndarray) -> float:
    """Distance along the axis, from point, of the place nearest to a ray."""
    r = ray / np.linalg.norm(ray)
    dr = float(direction @ r)
    return float((dr * (point @ r) - point @ direction) / max(1 - dr * dr, 1e-9))


def _solve(
    point: np.ndarray,
    direction: np.ndarray,
    edges: list[Edge],
    samples: SurfaceSamples | None,
    radius: tuple[float, float],
    camera: Camera,
) -> _Solution:
    """Gauss-Newton with Huber weights; blocks of the surface are taken anew in every step."""
    edge_rays = camera.rays(np.vstack([e.points for e in edges])) if edges else np.zeros((0, 3))
    edge_px = np.concatenate([e.stddev for e in edges]) if edges else np.zeros(0)
    scale, r = camera.f * camera.baseline, radius[0]
    across = _frame(direction)
    for iteration in range(ITERATIONS):
        across = _frame(direction)
        rays, values, sigma = _surface_blocks(point, direction, r, samples, camera)
        weights = np.concatenate([edge_px * np.linalg.norm(point) / camera.f, sigma])

        arguments = edge_rays, rays, values, scale
        at = _residuals(point, direction, r, *arguments)
        J = np.empty((len(at), 5))
        for i, h in enumerate((1e-6, 1e-6, 1e-5, 1e-5, 1e-6)):
            step = h * np.eye(5)[i]
            p, d = _moved(point, direction, across, step)
            J[:, i] = (_residuals(p, d, r + step[4], *arguments) - at) / h
        white = at / weights
        huber = np.sqrt(np.minimum(1.0, 2.5 / np.maximum(np.abs(white), 1e-9)))
        JW = J / weights[:, None] * huber[:, None]
        H = JW.T @ JW
        H[4, 4] += 1 / radius[1] ** 2
        g = JW.T @ (white * huber)
        g[4] += (r - radius[0]) / radius[1] ** 2
        H[np.arange(4), np.arange(4)] += (1e2, 1e2, 1e0, 1e0)  # 0.1 m, 1 rad: never singular
        step = -np.linalg.solve(H, g)
        shift, turn = float(np.linalg.norm(step[:2])), float(np.linalg.norm(step[2:4]))
        step *= min(1.0, 0.02 / max(shift, 1e-9), 0.3 / max(turn, 1e-9))
        point, direction = _moved(point, direction, across, step)
        r += step[4]
        if iteration > 1 and np.abs(step[:2]).max() < 1e-7 and np.abs(step[2:4]).max() < 1e-6:
            break
    return point, direction, r, np.linalg.inv(H), across


def _surface_blocks(
    point: np.ndarray,
    direction: np.ndarray,
    radius: float,
    samples: SurfaceSamples | None,
    camera: Camera,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Medians of BLOCKS blocks of the surface: rays, disparities, and their scatter.

    The scatter is that of the medians themselves, or what the matcher says if that is more.
    """
    nothing = np.zeros((0, 3)), np.zeros(0), np.zeros(0)
    if samples is None or not len(samples.disparity):
        return nothing
    scale = camera.f * camera.baseline
    error = _surface_errors(point, direction, radius, samples.rays, samples.disparity, scale)
    normal = np.cross(samples.rays, direction)
    across = (normal @ point) / np.linalg.norm(normal, axis=1) / radius
    points = samples.rays * (scale / (samples.disparity - np.nan_to_num(error)))[:, None]
    along = (points - point) @ direction
    kept = np.isfinite(error) & (np.abs(across) < _EDGE_MARGIN)
    if kept.sum() < BLOCKS:
        return nothing
    error, across, along = error[kept], across[kept], along[kept]
    low, high = (float(value) for value in np.quantile(along, (0.01, 0.99)))
    share = (along - low) / max(high - low, 1e-9)
    column = np.clip((_PER_SIDE * share).astype(int), 0, _PER_SIDE - 1)
    row = np.clip(((across / _EDGE_MARGIN + 1) / 2 * _PER_SIDE).astype(int), 0, _PER_SIDE - 1)
    block = row * _PER_SIDE + column
    rays, stated = samples.rays[kept], samples.stddev[kept]
    found = [np.flatnonzero(block == b) for b in range(BLOCKS)]
    found = [members for members in found if len(members) >= 4]
    if len(found) < 4:
        return nothing
    medians = np.array([np.median(error[members]) for members in found])
    middle = np.array([rays[members].mean(axis=0) for members in found])
    spread = 1.4826 * float(np.median(np.abs(medians - np.median(medians))))
    sigma = max(spread, 0.2 * float(np.median(stated)), 2e-3)
    z = np.array([_depth(ray, point, direction, radius) for ray in middle])
    fine = np.isfinite(z)
    predicted = scale / z[fine]
    return middle[fine], predicted + medians[fine], np.full(int(fine.sum()), sigma)


def _fitted(
    solution: _Solution,
    pixels: np.ndarray,
    camera: Camera,
    edges: int,
    used_depth: bool,
    bad_depth: bool,
) -> ShaftFit:
    point, direction, radius, covariance, across = solution
    rays = camera.rays(pixels[:: max(1, len(pixels) // 300)])
    along = np.array([_along(ray, point, direction) for ray in rays])
    low, high = np.quantile(along, (0.01, 0.99))
    return ShaftFit(
        point,
        direction,
        radius,
        covariance,
        across,
        (float(low), float(high)),
        edges,
        used_depth,
        bad_depth,
    )
