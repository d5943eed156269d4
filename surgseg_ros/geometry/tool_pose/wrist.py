"""The joints beyond the shaft: a model of wrist and jaws laid over mask and disparity.

Lengths are known, so foreshortening and disparity together say how a link is inclined; of the two
inclinations that look alike the disparity chooses. The search begins at many joint positions, for
the landscape has several valleys, and goes down the best of them by Gauss-Newton.
"""

from dataclasses import dataclass

import numpy as np

from surgseg_ros.frames.parts import Part
from surgseg_ros.geometry.tool_pose.articulated_model import (
    OPENING,
    PARAMETERS,
    ROLL,
    YAW,
    Data,
    costs_of,
    descend,
    normal_equations,
)
from surgseg_ros.geometry.tool_pose.evidence import BLOCKS, Camera
from surgseg_ros.geometry.tool_pose.instruments import InstrumentShape

SAMPLES = 400  # pixels looked at
ROLLS, BENDS = 10, 5  # the grid of starts
STARTS, FINALISTS, THIN = 24, 2, 120
APART, COARSER = 0.4, 2.0
COARSE_STEPS, FINE_STEPS = 14, 12
VARIANTS = ((-0.35, 0.3), (0.35, 0.3), (0.0, 0.05), (0.0, 0.7), (-0.7, 0.3), (0.7, 0.3))
# of the variances: boxes are no instruments, and now and then the search ends in a wrong valley;
# so that ellipsoids of 95 % hold nine of ten poses of the virtual endoscope or more (docs)
INFLATION = 81.0
BLURS = (4.0, 1.5)  # px of an image 640 px wide: coarse, then fine
_OCCUPANCY = 0.4  # standard deviation of a pixel's residual ...
_INDEPENDENT = 100  # ... of so many that are independent
_SURFACE, _WRIST_SURFACE = 0.25e-3, 0.6e-3  # m: how well boxes tell the surface of jaws and wrist


@dataclass(frozen=True)
class PixelSamples:
    """What is looked at. pixels: N x 2 px. labels: N. depths, stddev: N, m, NaN unknown."""

    pixels: np.ndarray
    labels: np.ndarray
    depths: np.ndarray
    stddev: np.ndarray


@dataclass(frozen=True)
class JointFit:
    """q: the parameters of articulated_model. covariance: 8 x 8. cost: of the fit, per sample.

    rivals: q of other valleys that fit nearly as well.
    """

    q: np.ndarray
    covariance: np.ndarray
    cost: float
    rivals: tuple[np.ndarray, ...] = ()


def pixel_samples(
    parts: np.ndarray,
    known: np.ndarray,
    disparity: np.ndarray | None,
    stddev: np.ndarray | float,
    camera: Camera,
    corner: tuple[int, int],
) -> PixelSamples:
    """Take a grid of about SAMPLES pixels around what is not shaft.

    parts: crop of the instrument's parts. known: where neither another instrument hides it nor
    the picture ends. stddev: px. corner: u, v of the first pixel.
    """
    distal = (parts > 0) & (parts != Part.SHAFT)
    rows, columns = np.flatnonzero(distal.any(axis=1)), np.flatnonzero(distal.any(axis=0))
    margin = 10
    top, bottom = max(rows[0] - margin, 0), rows[-1] + margin + 1
    left, right = max(columns[0] - margin, 0), columns[-1] + margin + 1
    region = slice(top, bottom), slice(left, right)
    near = _dilated(distal[region], margin)
    step = max(1, int(np.sqrt(np.count_nonzero(near) / SAMPLES)))
    grid = slice(step // 2, None, step)
    v, u = np.nonzero((near & known[region] & (parts[region] != Part.SHAFT))[grid, grid])
    v, u = v * step + step // 2 + top, u * step + step // 2 + left
    pixels = np.column_stack([u + corner[0], v + corner[1]]).astype(np.float64)
    depth, sigma = np.full(len(u), np.nan), np.full(len(u), np.nan)
    if disparity is not None:
        d = disparity[v, u].astype(np.float64)
        d[~(d > 0)] = np.nan
        scale = camera.f * camera.baseline
        depth = scale / d
        sigma = depth**2 / scale * (stddev if isinstance(stddev, float) else stddev[v, u])
    return PixelSamples(pixels, parts[v, u].astype(np.int64), depth, sigma)


def _dilated(mask: np.ndarray, margin: int) -> np.ndarray:
    import cv2

    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * margin + 1,) * 2, np.uint8)) > 0


def fit_joints(
    samples: PixelSamples,
    axis: np.ndarray,
    shape: InstrumentShape,
    along: tuple[float, float],
    camera: Camera,
    start: np.ndarray | None = None,
) -> JointFit | None:
    """Fit the joints; None where too few pixels tell anything.

    axis: 4 x 3 as in articulated_model. along: where the tube ends (m, standard deviation).
    start: joints from the frame before, looked at, too.
    """
    if len(samples.pixels) < BLOCKS or not (samples.labels > 0).any():
        return None
    data = _data(samples, axis, shape, along, camera)
    coarse, fine = (blur * camera.f / 530.0 for blur in BLURS)
    limits = np.array([shape.pitch_limit, shape.yaw_limit, shape.opening_limit])
    thinned = _thinned(data, samples)
    starts = _starts(thinned, shape, coarse)
    roughly = [descend(q, 5, limits, coarse, COARSE_STEPS, *thinned) for q in starts]
    finalists = _finalists(roughly)
    if start is not None:
        finalists.append(start)
    fits = [descend(q, PARAMETERS, limits, fine, FINE_STEPS, *data) for q in finalists]
    fits += [descend(q, 5, limits, fine, FINE_STEPS, *data) for q in _variants(fits)]
    fits.sort(key=lambda item: item[1])
    q, cost = descend(fits[0][0], PARAMETERS, limits, fine, FINE_STEPS, *data)
    H, _ = normal_equations(q, PARAMETERS, fine, *data)
    rivals = tuple(other for other, c in fits[1:] if c < cost + 9.0 and _apart(other, q, 0.3))
    return JointFit(q, INFLATION * np.linalg.inv(H), cost, rivals)


def _data(
    samples: PixelSamples,
    axis: np.ndarray,
    shape: InstrumentShape,
    along: tuple[float, float],
    camera: Camera,
) -> Data:
    """What articulated_fit's functions take after their own arguments."""
    lengths = [shape.pitch, shape.wrist, shape.jaws]
    mean = np.array([along[0], 0.0, 0.0, 0.0, 0.35, *lengths])
    stddev = np.array([along[1], 4.0, 1.0, 1.0, 0.5, *3 * [shape.length_stddev]])
    return (
        np.ascontiguousarray(axis),
        np.array([shape.radius, *shape.jaw_width, *shape.jaw_thickness]),
        np.array([camera.f, camera.cx, camera.cy]),
        samples.pixels,
        samples.labels,
        samples.depths,
        _weights(samples),
        np.stack([mean, stddev]),
    )


def _weights(samples: PixelSamples) -> np.ndarray:
    """1 / standard deviation of each residual, fewer being independent than there are."""
    n = len(samples.pixels)
    occupancy = np.full(2 * n, np.sqrt(min(1.0, _INDEPENDENT / n)) / _OCCUPANCY)
    surface = np.where(samples.labels == Part.JAW, _SURFACE, _WRIST_SURFACE)
    sigma = np.hypot(np.nan_to_num(samples.stddev, nan=1.0), surface)
    measured = max(1, int(np.count_nonzero(samples.depths > 0)))
    return np.concatenate([occupancy, np.sqrt(min(1.0, BLOCKS / measured)) / sigma])


def _thinned(data: Data, samples: PixelSamples) -> Data:
    """The same with fewer pixels, for the search."""
    few = np.linspace(0, len(samples.pixels) - 1, min(THIN, len(samples.pixels))).astype(int)
    thin = PixelSamples(
        samples.pixels[few], samples.labels[few], samples.depths[few], samples.stddev[few]
    )
    return (*data[:3], thin.pixels, thin.labels, thin.depths, _weights(thin), data[7])


def _starts(data: Data, shape: InstrumentShape, blur: float) -> list[np.ndarray]:
    """The best of a grid over roll, pitch and yaw, STARTS of them that differ."""
    grid = np.stack(
        np.meshgrid(
            np.arange(ROLLS) * np.pi / ROLLS,
            np.linspace(-0.85, 0.85, BENDS) * shape.pitch_limit,
            np.linspace(-0.85, 0.85, BENDS) * shape.yaw_limit,
            indexing='ij',
        ),
        axis=-1,
    ).reshape(-1, 3)
    starts = np.repeat(data[7][:1], len(grid), axis=0)
    starts[:, ROLL : YAW + 1] = grid
    costs = costs_of(starts, COARSER * blur, *data)
    chosen: list[np.ndarray] = []
    for q in starts[np.argsort(costs)]:
        if all(_apart(q, other, APART) for other in chosen):
            chosen.append(q)
        if len(chosen) == STARTS:
            break
    return chosen


def _finalists(found: list[tuple[np.ndarray, float]]) -> list[np.ndarray]:
    """The best that differ."""
    chosen: list[np.ndarray] = []
    for q, _ in sorted(found, key=lambda item: item[1]):
        if all(_apart(q, other, 0.2) for other in chosen):
            chosen.append(q)
        if len(chosen) == FINALISTS:
            break
    return chosen


def _variants(fits: list[tuple[np.ndarray, float]]) -> list[np.ndarray]:
    """The best with other jaws: a jaw is easily taken for the other one, or for both."""
    best = min(fits, key=lambda item: item[1])[0]
    found = []
    for turn, opening in VARIANTS:
        q = best.copy()
        q[YAW], q[OPENING] = q[YAW] + turn, opening
        found.append(q)
    return found


def _apart(one: np.ndarray, other: np.ndarray, angle: float) -> bool:
    """Whether joints differ by more than an angle, half turns aside."""
    turns = round(float(one[ROLL] - other[ROLL]) / np.pi)
    sign = -1.0 if turns % 2 else 1.0
    difference = np.abs(one[ROLL:OPENING] - other[ROLL:OPENING] * (1.0, sign, sign))
    difference[0] = abs(float(one[ROLL] - other[ROLL]) - turns * np.pi)
    return bool(difference.max() > angle)


def boundary_along(
    parts: np.ndarray, corner: tuple[int, int], axis: np.ndarray, radius: float, camera: Camera
) -> tuple[float, float] | None:
    """Where shaft and wrist meet, along the axis: (m, standard deviation); None if unseen.

    The two parts meet on a circle around the tube: each of its pixels, cut with the cylinder, is
    one measurement.
    """
    shaft, wrist = parts == Part.SHAFT, (parts == Part.WRIST) | (parts == Part.JAW)
    found = []
    for down, right in ((0, 1), (1, 0)):
        height, width = parts.shape
        first = slice(0, height - down), slice(0, width - right)
        second = slice(down, None), slice(right, None)
        touching = (shaft[first] & wrist[second]) | (wrist[first] & shaft[second])
        v, u = np.nonzero(touching)
        found.append(np.column_stack([u + 0.5 * right + corner[0], v + 0.5 * down + corner[1]]))
    pixels = np.vstack(found)
    if len(pixels) < 5:
        return None
    along = _cut(camera.rays(pixels), axis, radius)
    along = along[np.isfinite(along)]
    if len(along) < 5:
        return None
    middle = float(np.median(along))
    spread = 1.4826 * float(np.median(np.abs(along - middle)))
    return middle, max(spread / 2.0, 1e-4)


def _cut(rays: np.ndarray, axis: np.ndarray, radius: float) -> np.ndarray:
    """Distance along the axis at which rays meet the cylinder, NaN where they miss it."""
    point, direction = axis[0], axis[1]
    across = rays - (rays @ direction)[:, None] * direction
    centre = point - (point @ direction) * direction
    a, b, c = (across**2).sum(1), across @ centre, centre @ centre - radius**2
    root = b * b - a * c
    z = (b - np.sqrt(np.where(root > 0, root, np.nan))) / a
    distance: np.ndarray = (rays * z[:, None] - point) @ direction
    return distance
