"""Per-pixel light: two lamps at the endoscope's tip, wet tissue, dark shafts and bright steel.

Deferred shading: the rasteriser says which surface a pixel sees and how far away it is; colour,
bumps and light are computed here from that 3-D point. Highlights follow GGX (Walter et al. 2007),
tissue's soft shadow edge wraps more in red, the colour that travels farthest under its surface.
All kernels release the GIL and work on a range of rows, so that threads can share an image.
"""

import math

import numba
import numpy as np

from surgseg_ros.simulation.materials import Material
from surgseg_ros.simulation.tissue import SIDE

TISSUE, SHAFT, STEEL = int(Material.TISSUE), int(Material.SHAFT), int(Material.STEEL)
LAMPS = np.array([[4.0, -9.0, -2.0], [-9.0, 3.0, -2.0]], np.float32)  # mm, left camera frame
LAMP_POWER = np.array([0.72, 0.28], np.float32)
EXPOSURE_DISTANCE = 72.0  # mm, where a lamp's falloff is 1
LAMP_SIZE = 2.5  # mm, makes the edges of shadows soft

_jit = numba.njit(cache=True, nogil=True, error_model='numpy', inline='never')


@_jit
def shade_rows(
    first: int,
    last: int,
    geom: np.ndarray,
    depth: np.ndarray,
    camera: np.ndarray,
    table: np.ndarray,
    tissue_from_camera: np.ndarray,
    albedo: np.ndarray,
    slope: np.ndarray,
    shaft_from_camera: np.ndarray,
    capsules: np.ndarray,
    lamps: np.ndarray,
    power: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write linear RGB (1 = white) of rows first..last-1 into out, HxWx3 float32.

    geom HxW uint8 and depth HxW float32 m from the rasteriser; camera = (f, cx, cy, eye's x in
    mm); table 2xN: material and instance of each geom; *_from_camera: 3x4 and Tx3x4, mm;
    capsules Cx8: ends of a centre line (2 x 3), radius, instance - what casts shadows.
    """
    width = geom.shape[1]
    f, cx, cy, eye = camera[0], camera[1], camera[2], camera[3]
    for row in range(first, last):
        for column in range(width):
            g = geom[row, column]
            if g >= table.shape[1]:
                out[row, column, 0] = out[row, column, 1] = out[row, column, 2] = 0.0
                continue
            z = depth[row, column] * 1000.0
            px, py = (column - cx) / f * z + eye, (row - cy) / f * z
            ex, ey, ez = _unit(eye - px, -py, -z)
            material, instance = table[0, g], table[1, g]
            if material == TISSUE:
                r, gr, b, rough, nx, ny, nz = _tissue_surface(
                    px, py, z, tissue_from_camera, albedo, slope
                )
                f0, metal = 0.03, 0.0
            elif material == SHAFT:
                r, gr, b, rough, nx, ny, nz = _shaft_surface(
                    px, py, z, shaft_from_camera[instance - 1]
                )
                f0, metal = 0.045, 0.0
            else:
                nx, ny, nz = _normal_from_depth(row, column, geom, depth, f, cx, cy)
                grey = 0.58 if material == STEEL else 0.25
                r, gr, b, rough = grey, 0.97 * grey, 0.94 * grey, 0.34
                f0, metal = grey, 1.0
            red, green, blue = _environment(r, gr, b, metal, nx, ny, nz, ex, ey, ez)
            for k in range(lamps.shape[0]):
                lx, ly, lz = lamps[k, 0] - px, lamps[k, 1] - py, lamps[k, 2] - z
                distance = math.sqrt(lx * lx + ly * ly + lz * lz)
                lx, ly, lz = lx / distance, ly / distance, lz / distance
                cone = max(0.0, -lz) ** 3
                light = power[k] * cone * (72.0 / distance) ** 2
                light *= _visibility(px, py, z, lamps[k], distance, instance, capsules)
                if light < 1e-4:
                    continue
                facing = nx * lx + ny * ly + nz * lz
                shine = _ggx(nx, ny, nz, lx, ly, lz, ex, ey, ez, facing, rough, f0)
                if metal > 0.0:
                    red += light * shine
                    green += light * shine * 0.98
                    blue += light * shine * 0.96
                else:
                    red += light * (r * _wrapped(facing, 0.30) + shine)
                    green += light * (gr * _wrapped(facing, 0.12) + shine)
                    blue += light * (b * _wrapped(facing, 0.10) + shine)
            out[row, column, 0] = red
            out[row, column, 1] = green
            out[row, column, 2] = blue


@_jit
def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


@_jit
def _wrapped(facing: float, wrap: float) -> float:
    """Lambert's cosine that reaches a little beyond the terminator (light under the surface)."""
    return max(0.0, (facing + wrap) / (1.0 + wrap))


@_jit
def _ggx(
    nx: float, ny: float, nz: float, lx: float, ly: float, lz: float,
    ex: float, ey: float, ez: float, facing: float, rough: float, f0: float,
) -> float:  # fmt: skip
    """Specular reflection times cosine: GGX distribution, Smith-Schlick masking, Schlick Fresnel."""
    if facing <= 0.0:
        return 0.0
    hx, hy, hz = _unit(lx + ex, ly + ey, lz + ez)
    nh = max(0.0, nx * hx + ny * hy + nz * hz)
    nv = max(0.05, nx * ex + ny * ey + nz * ez)
    eh = max(0.0, ex * hx + ey * hy + ez * hz)
    a = rough * rough
    tail = nh * nh * (a * a - 1.0) + 1.0
    spread = a * a / (math.pi * tail * tail)
    k = 0.5 * a
    masking = 1.0 / ((facing * (1.0 - k) + k) * (nv * (1.0 - k) + k))
    fresnel = f0 + (1.0 - f0) * (1.0 - eh) ** 5
    return 0.25 * spread * masking * fresnel * facing


@_jit
def _environment(
    r: float, g: float, b: float, metal: float,
    nx: float, ny: float, nz: float, ex: float, ey: float, ez: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Light that has bounced off tissue: a dim red for tissue, a reflection of it for metal."""
    if metal == 0.0:
        return 0.055 * r, 0.03 * g, 0.028 * b
    ne = nx * ex + ny * ey + nz * ez
    mz = 2.0 * ne * nz - ez  # mirror direction: towards the tissue when positive
    my = 2.0 * ne * ny - ey
    warm = 0.5 + 0.5 * math.tanh(3.0 * mz)
    band = 0.06 + 0.10 * (0.5 + 0.5 * math.sin(5.0 * my + 3.0 * mz))
    return r * (0.26 * warm + band), g * (0.11 * warm + band), b * (0.11 * warm + band)


@_jit
def _tissue_surface(
    px: float, py: float, pz: float, T: np.ndarray, albedo: np.ndarray, slope: np.ndarray
) -> tuple[float, float, float, float, float, float, float]:
    """Return linear RGB, roughness and the normal (camera frame) of the sheet, bilinear."""
    x = T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]
    y = T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]
    n = albedo.shape[0]
    u = min(max((x / SIDE + 0.5) * n - 0.5, 0.0), n - 1.001)
    v = min(max((y / SIDE + 0.5) * n - 0.5, 0.0), n - 1.001)
    i, j = int(v), int(u)
    v, u = v - i, u - j
    w00, w01, w10, w11 = (1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u
    a00, a01, a10, a11 = albedo[i, j], albedo[i, j + 1], albedo[i + 1, j], albedo[i + 1, j + 1]
    r = (w00 * a00[0] + w01 * a01[0] + w10 * a10[0] + w11 * a11[0]) / 255.0
    g = (w00 * a00[1] + w01 * a01[1] + w10 * a10[1] + w11 * a11[1]) / 255.0
    b = (w00 * a00[2] + w01 * a01[2] + w10 * a10[2] + w11 * a11[2]) / 255.0
    rough = (w00 * a00[3] + w01 * a01[3] + w10 * a10[3] + w11 * a11[3]) / 255.0
    s00, s01, s10, s11 = slope[i, j], slope[i, j + 1], slope[i + 1, j], slope[i + 1, j + 1]
    sx = w00 * s00[0] + w01 * s01[0] + w10 * s10[0] + w11 * s11[0]
    sy = w00 * s00[1] + w01 * s01[1] + w10 * s10[1] + w11 * s11[1]
    nx, ny, nz = _unit(
        T[2, 0] - sx * T[0, 0] - sy * T[1, 0],
        T[2, 1] - sx * T[0, 1] - sy * T[1, 1],
        T[2, 2] - sx * T[0, 2] - sy * T[1, 2],
    )
    return r * r, g * g, b * b, rough, nx, ny, nz


@_jit
def _shaft_surface(
    px: float, py: float, pz: float, T: np.ndarray
) -> tuple[float, float, float, float, float, float, float]:
    """Return the look of a dark tube with faint lengthwise streaks, in its own coordinates."""
    x = T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]
    y = T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]
    z = T[2, 0] * px + T[2, 1] * py + T[2, 2] * pz + T[2, 3]
    radius = math.sqrt(x * x + y * y)
    angle = math.atan2(y, x) * 16.0
    streak = _value_noise(angle * 1.5, z * 0.12) + 0.6 * _value_noise(angle * 4.0, z * 0.45)
    grain = _value_noise(angle * 6.0, z * 3.0)
    grey = 0.085 * max(0.3, 1.0 + 0.55 * streak + 0.25 * grain)
    tilt = 0.10 * grain
    nx, ny = (x - tilt * y) / radius, (y + tilt * x) / radius
    mx, my, mz = _unit(
        T[0, 0] * nx + T[1, 0] * ny, T[0, 1] * nx + T[1, 1] * ny, T[0, 2] * nx + T[1, 2] * ny
    )
    return 1.04 * grey, grey, 0.94 * grey, 0.42 + 0.05 * streak, mx, my, mz


@_jit
def _value_noise(x: float, y: float) -> float:
    """Return smooth noise in -1..1, one value per unit square."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    low = (1.0 - u) * _lattice(i, j) + u * _lattice(i + 1, j)
    high = (1.0 - u) * _lattice(i, j + 1) + u * _lattice(i + 1, j + 1)
    return (1.0 - v) * low + v * high


@_jit
def _lattice(i: int, j: int) -> float:
    h = np.uint32(i) * np.uint32(0x9E3779B1) ^ np.uint32(j) * np.uint32(0x85EBCA77)
    h = np.uint32((h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
    h = np.uint32((h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39))
    return np.float64(h ^ (h >> np.uint32(15))) / 2147483648.0 - 1.0


@_jit
def _normal_from_depth(
    row: int, column: int, geom: np.ndarray, depth: np.ndarray, f: float, cx: float, cy: float
) -> tuple[float, float, float]:
    """Return the normal of the plane through the pixel and its neighbours on the same geom."""
    ax, ay, az = _edge(row, column, 0, 1, geom, depth, f, cx, cy)
    bx, by, bz = _edge(row, column, 1, 0, geom, depth, f, cx, cy)
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    if nx * nx + ny * ny + nz * nz < 1e-12:
        return 0.0, 0.0, -1.0
    nx, ny, nz = _unit(nx, ny, nz)
    return (-nx, -ny, -nz) if nz > 0 else (nx, ny, nz)


@_jit
def _edge(
    row: int, column: int, down: int, right: int,
    geom: np.ndarray, depth: np.ndarray, f: float, cx: float, cy: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Return the 3-D step along the surface (mm) between neighbours, zero where there is none."""
    height, width = geom.shape
    r0, c0, r1, c1 = row - down, column - right, row + down, column + right
    if r0 < 0 or c0 < 0 or geom[r0, c0] != geom[row, column]:
        r0, c0 = row, column
    if r1 >= height or c1 >= width or geom[r1, c1] != geom[row, column]:
        r1, c1 = row, column
    z0, z1 = depth[r0, c0] * 1000.0, depth[r1, c1] * 1000.0
    return (
        ((c1 - cx) * z1 - (c0 - cx) * z0) / f,
        ((r1 - cy) * z1 - (r0 - cy) * z0) / f,
        z1 - z0,
    )


@_jit
def _visibility(
    px: float, py: float, pz: float, lamp: np.ndarray, distance: float,
    instance: int, capsules: np.ndarray,
) -> float:  # fmt: skip
    """Return the lamp's visible share from a point, 0..1, with other instruments in the way."""
    visible = 1.0
    for c in range(capsules.shape[0]):
        if capsules[c, 7] == instance:
            continue
        gap, along = _closest_approach(px, py, pz, lamp, capsules[c])
        penumbra = 0.3 + LAMP_SIZE * along / max(1.0 - along, 0.1)
        t = min(max((gap - capsules[c, 6] + 0.5 * penumbra) / penumbra, 0.0), 1.0)
        visible = min(visible, t * t * (3.0 - 2.0 * t))
    return 0.12 + 0.88 * visible


@_jit
def _closest_approach(
    px: float, py: float, pz: float, lamp: np.ndarray, capsule: np.ndarray
) -> tuple[float, float]:
    """Return a capsule's distance (mm) from the ray to the lamp and where on it, 0 point..1 lamp."""
    ux, uy, uz = lamp[0] - px, lamp[1] - py, lamp[2] - pz
    vx, vy, vz = capsule[3] - capsule[0], capsule[4] - capsule[1], capsule[5] - capsule[2]
    wx, wy, wz = px - capsule[0], py - capsule[1], pz - capsule[2]
    uu, vv = ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz
    uv = ux * vx + uy * vy + uz * vz
    uw, vw = ux * wx + uy * wy + uz * wz, vx * wx + vy * wy + vz * wz
    s = min(max((uv * vw - vv * uw) / max(uu * vv - uv * uv, 1e-6), 0.0), 1.0)
    t = min(max((uv * s + vw) / vv, 0.0), 1.0)
    s = min(max((uv * t - uw) / uu, 0.0), 1.0)
    dx, dy, dz = wx + s * ux - t * vx, wy + s * uy - t * vy, wz + s * uz - t * vz
    return math.sqrt(dx * dx + dy * dy + dz * dz), s
