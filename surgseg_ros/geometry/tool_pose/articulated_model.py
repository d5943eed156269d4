"""What an instrument's wrist and jaws look like for given joints: tapered boxes along its links.

Shaft frame: origin where the tube ends, z distal, x the pitch axis. The wrist turns by `pitch`
about x, the jaws by `yaw` about -y of the turned frame: positive as the research kit's joints.
Parameters of the model, in this order: along (m, where the tube ends on the axis), roll, pitch,
yaw, opening (rad), the three lengths pitch, wrist, jaws (m). The fit is in this file, too: numba
keeps compiled functions by file, and would not see that what they call has changed elsewhere.
"""

import numba
import numpy as np

ALONG, ROLL, PITCH, YAW, OPENING, PITCH_LENGTH, WRIST_LENGTH, JAW_LENGTH = range(8)
PARAMETERS = 8
ELEMENTS = 4  # collar and proximal clevis, distal clevis, two jaws
# half widths (m) of da Vinci's wrists: collar at its end, clevis along pitch axis and yaw axis
_COLLAR, _CLEVIS_X, _CLEVIS_Y, _HUB = 3.3e-3, 2.1e-3, 2.9e-3, 2.2e-3
_OPEN = 0.65  # a clevis is two prongs: on average its surface lies so far out


@numba.njit(cache=True, nogil=True)
def frames(q: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Links of the parameters q on a shaft axis: 9 x 3.

    axis: 4 x 3, a point, the direction and two directions across it. Returns the points shaft
    end, wrist pitch and wrist yaw (m), x and y of the shaft, y and z of the wrist, x and z of the
    jaws, whose y is that of the wrist.
    """
    point, d, a, b = axis[0], axis[1], axis[2], axis[3]
    x = np.cos(q[1]) * a + np.sin(q[1]) * b
    y = np.cross(d, x)
    cp, sp, cy, sy = np.cos(q[2]), np.sin(q[2]), np.cos(q[3]), np.sin(q[3])
    wrist_y, wrist_z = cp * y + sp * d, cp * d - sp * y
    out = np.empty((9, 3))
    out[0] = point + q[0] * d
    out[1] = out[0] + q[5] * d
    out[2] = out[1] + q[6] * wrist_z
    out[3], out[4] = x, y
    out[5], out[6] = wrist_y, wrist_z
    out[7] = cy * x + sy * wrist_z
    out[8] = cy * wrist_z - sy * x
    return out


@numba.njit(cache=True, nogil=True)
def _boxes(q: np.ndarray, axis: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """4 x 18: start, end, x and y of the cross-section, half sizes at both ends, end caps."""
    F = frames(q, axis)
    out = np.zeros((ELEMENTS, 18))
    out[0, 0:3], out[0, 3:6], out[0, 6:9], out[0, 9:12] = F[0], F[1], F[3], F[4]
    out[0, 12:18] = (shape[0], shape[0], _COLLAR, _COLLAR, 0.0, _HUB)
    out[1, 0:3], out[1, 3:6], out[1, 6:9], out[1, 9:12] = F[1], F[2], F[3], F[5]
    out[1, 12:18] = (_CLEVIS_X, _CLEVIS_Y, _CLEVIS_X, _CLEVIS_Y, _HUB, _HUB)
    c, s = np.cos(0.5 * q[4]), np.sin(0.5 * q[4])
    for k in range(2):
        sign = 1.0 - 2.0 * k
        along, outward = c * F[8] + sign * s * F[7], sign * c * F[7] - s * F[8]
        out[2 + k, 0:3] = F[2] + 0.5 * shape[3] * outward
        out[2 + k, 3:6] = F[2] + q[7] * along + 0.5 * shape[4] * outward
        out[2 + k, 6:9], out[2 + k, 9:12] = outward, F[5]
        out[2 + k, 12:18] = (
            0.5 * shape[3],
            0.5 * shape[1],
            0.5 * shape[4],
            0.5 * shape[2],
            2.1e-3,
            0.0,
        )
    return out


@numba.njit(cache=True, nogil=True)
def _projected(boxes: np.ndarray, f: float, cx: float, cy: float) -> np.ndarray:
    """4 x 13: start, direction, length, half widths, caps (px), 1 / depth, offset of the face."""
    out = np.zeros((ELEMENTS, 13))
    for k in range(ELEMENTS):
        box = boxes[k]
        z0, z1 = max(box[2], 5e-3), max(box[5], 5e-3)
        u0, v0 = f * box[0] / z0 + cx, f * box[1] / z0 + cy
        du, dv = f * box[3] / z1 + cx - u0, f * box[4] / z1 + cy - v0
        length = np.sqrt(du * du + dv * dv)
        if length > 1e-3:
            du, dv = du / length, dv / length
        else:
            du, dv = 1.0, 0.0
        out[k, 0], out[k, 1], out[k, 2], out[k, 3], out[k, 4] = u0, v0, du, dv, length
        for end in range(2):
            z = z0 if end == 0 else z1
            X, Y = box[3 * end] / z, box[3 * end + 1] / z
            wide = cap = 0.0
            face = 1.0
            ray = np.sqrt(X * X + Y * Y + 1.0)
            for side in range(2):
                vx, vy, vz = box[6 + 3 * side], box[7 + 3 * side], box[8 + 3 * side]
                half = box[12 + 2 * end + side]
                pu, pv = f / z * (vx - vz * X), f / z * (vy - vz * Y)
                wide += half * abs(-dv * pu + du * pv)
                cap += half * abs(du * pu + dv * pv)
                facing = abs(vx * X + vy * Y + vz) / ray
                face = min(face, half / max(facing, 1e-3))
            out[k, 5 + end] = wide
            out[k, 7 + end] = max(cap, box[16 + end] * f / z)
            out[k, 9 + end] = 1.0 / z
            out[k, 11 + end] = min(face, 4e-3) * (_OPEN if k < 2 else 1.0)
    return out


@numba.njit(cache=True, nogil=True)
def residuals(
    q: np.ndarray,
    axis: np.ndarray,
    shape: np.ndarray,
    camera: np.ndarray,
    pixels: np.ndarray,
    labels: np.ndarray,
    depths: np.ndarray,
    blur: float,
    out: np.ndarray,
) -> None:
    """Fill out, 3N: occupied - seen, jaw - seen (0..1), and depth of the model - seen (m).

    shape: radius, jaw width at root and tip, thickness at both. camera: f, cx, cy. pixels: N x 2.
    labels: N, 0 background, 2 wrist, 3 jaw, else only occupied. depths: N, m, NaN unknown.
    blur: px over which an edge goes from 0 to 1.
    """
    P = _projected(_boxes(q, axis, shape), camera[0], camera[1], camera[2])
    n = len(pixels)
    for i in range(n):
        empty = jaws_empty = wrist_empty = 1.0
        best, depth = 1e9, np.nan
        for k in range(ELEMENTS):
            e = P[k]
            du, dv = pixels[i, 0] - e[0], pixels[i, 1] - e[1]
            along = du * e[2] + dv * e[3]
            across = abs(-du * e[3] + dv * e[2])
            t = min(max(along / max(e[4], 1e-3), 0.0), 1.0)
            distance = across - (1 - t) * e[5] - t * e[6]
            distance = max(distance, -along - e[7], along - e[4] - e[8])
            x = distance / blur
            outside = 0.5 + 0.5 * x / np.sqrt(1.0 + x * x)
            empty *= outside
            if k >= 2:
                jaws_empty *= outside
            else:
                wrist_empty *= outside
            z = 1.0 / ((1 - t) * e[9] + t * e[10]) - (1 - t) * e[11] - t * e[12]
            nearness = max(distance, -1.0) + 50.0 * z  # the nearer one covers the other
            if nearness < best and (labels[i] != 3 or k >= 2) and (labels[i] != 2 or k < 2):
                best, depth = nearness, z
        seen = 1.0 if labels[i] > 0 else 0.0
        out[i] = 1.0 - empty - seen
        if labels[i] == 0 or labels[i] == 2 or labels[i] == 3:
            out[n + i] = (1.0 - jaws_empty - (1.0 if labels[i] == 3 else 0.0)) * wrist_empty
        else:
            out[n + i] = 0.0
        out[2 * n + i] = (
            depth - depths[i] if labels[i] > 0 and depth == depth and depths[i] > 0 else 0.0
        )


# axis 4 x 3, shape 5, camera 3, pixels N x 2, labels N, depths N, weights 3N, prior 2 x 8 (mean,
# standard deviation): what every function here takes last
Data = tuple[np.ndarray, ...]
HUBER = 0.5  # depth: beyond so many weighted standard deviations an error counts linearly
_STEPS = np.array([1e-5, 1e-3, 1e-3, 1e-3, 1e-3, 1e-5, 1e-5, 1e-5])


@numba.njit(cache=True, nogil=True)
def _cost(white: np.ndarray, q: np.ndarray, prior: np.ndarray) -> float:
    n = 2 * len(white) // 3
    total = 0.0
    for i in range(len(white)):
        size = abs(white[i])
        if i < n or size < HUBER:
            total += size * size
        else:
            total += 2 * HUBER * size - HUBER * HUBER
    for i in range(PARAMETERS):
        total += ((q[i] - prior[0, i]) / prior[1, i]) ** 2
    return total


@numba.njit(cache=True, nogil=True)
def costs_of(
    starts: np.ndarray,
    blur: float,
    axis: np.ndarray,
    shape: np.ndarray,
    camera: np.ndarray,
    pixels: np.ndarray,
    labels: np.ndarray,
    depths: np.ndarray,
    weights: np.ndarray,
    prior: np.ndarray,
) -> np.ndarray:
    """Cost of each of S starts, S x 8."""
    white = np.empty(len(weights))
    out = np.empty(len(starts))
    for i in range(len(starts)):
        residuals(starts[i], axis, shape, camera, pixels, labels, depths, blur, white)
        out[i] = _cost(white * weights, starts[i], prior)
    return out


@numba.njit(cache=True, nogil=True)
def normal_equations(
    q: np.ndarray,
    free: int,
    blur: float,
    axis: np.ndarray,
    shape: np.ndarray,
    camera: np.ndarray,
    pixels: np.ndarray,
    labels: np.ndarray,
    depths: np.ndarray,
    weights: np.ndarray,
    prior: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrix and gradient of the first `free` parameters, depth with Huber's weights."""
    rows = len(weights)
    n = 2 * rows // 3
    at, moved = np.empty(rows), np.empty(rows)
    residuals(q, axis, shape, camera, pixels, labels, depths, blur, at)
    J = np.empty((free, rows))
    for k in range(free):
        other = q.copy()
        other[k] += _STEPS[k]
        residuals(other, axis, shape, camera, pixels, labels, depths, blur, moved)
        for i in range(rows):
            J[k, i] = (moved[i] - at[i]) / _STEPS[k] * weights[i]
    H, g = np.zeros((free, free)), np.zeros(free)
    for i in range(rows):
        white = at[i] * weights[i]
        w = 1.0
        if i >= n and abs(white) > HUBER:
            w = HUBER / abs(white)
        for k in range(free):
            g[k] += w * J[k, i] * white
            for m in range(k + 1):
                H[k, m] += w * J[k, i] * J[m, i]
    for k in range(free):
        for m in range(k):
            H[m, k] = H[k, m]
        H[k, k] += 1.0 / prior[1, k] ** 2
        g[k] += (q[k] - prior[0, k]) / prior[1, k] ** 2
    return H, g


@numba.njit(cache=True, nogil=True)
def descend(
    q: np.ndarray,
    free: int,
    limits: np.ndarray,
    blur: float,
    steps: int,
    axis: np.ndarray,
    shape: np.ndarray,
    camera: np.ndarray,
    pixels: np.ndarray,
    labels: np.ndarray,
    depths: np.ndarray,
    weights: np.ndarray,
    prior: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Lowest point and its cost, after at most so many steps, within the joints' limits.

    limits: of pitch, of yaw (to both sides) and of the opening, rad.
    """
    q = q.copy()
    white = np.empty(len(weights))
    residuals(q, axis, shape, camera, pixels, labels, depths, blur, white)
    cost = _cost(white * weights, q, prior)
    damping = 1e-3
    H, g = normal_equations(
        q, free, blur, axis, shape, camera, pixels, labels, depths, weights, prior
    )
    for _ in range(steps):
        A = H.copy()
        for k in range(free):
            A[k, k] *= 1.0 + damping
        tried = q.copy()
        tried[:free] -= np.linalg.solve(A, g)
        tried[2] = min(max(tried[2], -limits[0]), limits[0])
        tried[3] = min(max(tried[3], -limits[1]), limits[1])
        tried[4] = min(max(tried[4], 0.0), limits[2])
        residuals(tried, axis, shape, camera, pixels, labels, depths, blur, white)
        new = _cost(white * weights, tried, prior)
        if new < cost:
            small = cost - new < 2e-3 * cost
            q, cost, damping = tried, new, max(damping / 5, 1e-6)
            if small:
                break
            H, g = normal_equations(
                q, free, blur, axis, shape, camera, pixels, labels, depths, weights, prior
            )
        else:
            damping *= 8
    return q, cost
