"""Per-pixel light: two lamps at the endoscope's tip, wet tissue, dark shafts and bright steel.

Deferred shading: the rasteriser says which surface a pixel sees and how far away it is; colour,
bumps and light are computed here from that 3-D point. Highlights follow GGX (Walter et al. 2007),
tissue's shadow edge wraps farther in red, the colour that travels farthest under its surface.
Kernels release the GIL and work on a range of rows, so that threads can share an image. All
coordinates are millimetres in the left camera's optical frame.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

from surgseg_ros.simulation.looks import Lamps, ToolColours
from surgseg_ros.simulation.materials import Material
from surgseg_ros.simulation.tissue import SIDE

TISSUE, SHAFT, STEEL = int(Material.TISSUE), int(Material.SHAFT), int(Material.STEEL)
EXPOSURE_DISTANCE = 80.0  # where the lamps' inverse-square falloff is 1
LAMP_SIZE = 5.0  # makes the edges of shadows soft
METAL_DIFFUSE = 0.18  # share of a metal's reflectance that is not mirror-like (blasted surface)
SHADOW_MARGIN = 4.0  # how far a penumbra may reach beyond its caster

Vector = tuple[float, float, float]
_jit = numba.njit(cache=True, nogil=True, error_model='numpy')


class View(NamedTuple):
    """What one camera sees.

    geom: HxW uint8. depth: HxW float32, m. f, cx, cy: px. eye: the eye's x, mm.
    """

    geom: np.ndarray
    depth: np.ndarray
    f: float
    cx: float
    cy: float
    eye: float


class Surfaces(NamedTuple):
    """What there is to see.

    table: 2xN uint8, material and instance of each geom. albedo, slope: see Tissue.
    tissue_from_camera: 3x4. shaft_from_camera: Tx3x4. casters: Cx12, capsules that cast shadows:
    both ends of the centre line, radius, instance, and the part of the image (left, top, right,
    bottom, px) that their shadows can reach. lamps: see looks. tools: T x 11, tool_row of each.
    """

    table: np.ndarray
    albedo: np.ndarray
    slope: np.ndarray
    tissue_from_camera: np.ndarray
    shaft_from_camera: np.ndarray
    casters: np.ndarray
    lamps: Lamps
    tools: np.ndarray


def tool_row(colours: ToolColours) -> list[float]:
    """Return one row of Surfaces.tools."""
    c = colours
    return [c.shaft, *c.shaft_tint, c.streaks, c.bright, c.dark, *c.steel_tint, c.rough]


class Surface(NamedTuple):
    """One point's look: linear albedo, roughness, mirror reflectance, normal, metal or not."""

    red: float
    green: float
    blue: float
    rough: float
    f0: float
    normal: Vector
    metal: bool


@_jit
def shade_rows(view: View, surfaces: Surfaces, first: int, last: int, out: np.ndarray) -> None:
    """Write linear RGB (about 1 = white) of rows first..last-1 into out, HxWx3 float32."""
    for row in range(first, last):
        for column in range(view.geom.shape[1]):
            geom = view.geom[row, column]
            if geom >= surfaces.table.shape[1]:
                out[row, column] = 0.0
                continue
            red, green, blue = _shade(view, surfaces, row, column, geom)
            out[row, column, 0] = red
            out[row, column, 1] = green
            out[row, column, 2] = blue


@_jit
def _shade(view: View, surfaces: Surfaces, row: int, column: int, geom: int) -> Vector:
    z = view.depth[row, column] * 1000.0
    point = ((column - view.cx) / view.f * z + view.eye, (row - view.cy) / view.f * z, z)
    to_eye = _unit((view.eye - point[0], -point[1], -z))
    material, instance = surfaces.table[0, geom], surfaces.table[1, geom]
    if material == TISSUE:
        surface = _tissue(point, surfaces)
    elif material == SHAFT:
        tool = surfaces.shaft_from_camera[instance - 1]
        surface = _shaft(point, tool, surfaces.tools[instance - 1])
    else:
        tool, look = surfaces.shaft_from_camera[instance - 1], surfaces.tools[instance - 1]
        surface = _steel(point, view, row, column, tool, material == STEEL, look)
    lamps = surfaces.lamps
    visible = _visibility(point, row, column, instance, surfaces.casters, lamps.key)
    red, green, blue = _environment(surface, to_eye)
    a, b, c = _lamp(surface, point, to_eye, lamps.key, lamps.key_power * visible)
    d, e, f = _lamp(surface, point, to_eye, lamps.fill, lamps.fill_power)
    return red + a + d, green + b + e, blue + c + f


@_jit
def _lamp(s: Surface, point: Vector, to_eye: Vector, lamp: Vector, power: float) -> Vector:
    """Return the light of one lamp that a surface sends to the eye."""
    way = (lamp[0] - point[0], lamp[1] - point[1], lamp[2] - point[2])
    to_lamp = _unit(way)
    cone = max(0.0, -to_lamp[2])
    light = power * cone**4 * EXPOSURE_DISTANCE**2 / _dot(way, way)
    facing = _dot(s.normal, to_lamp)
    shine = _ggx(s, to_lamp, to_eye, facing)
    if s.metal:
        shine *= light
        diffuse = METAL_DIFFUSE * light * max(0.0, facing)
        return shine + diffuse * s.red, shine + diffuse * s.green, shine + diffuse * s.blue
    return (
        light * (s.red * _wrapped(facing, 0.30) + shine),
        light * (s.green * _wrapped(facing, 0.10) + shine),
        light * (s.blue * _wrapped(facing, 0.08) + shine),
    )


@_jit
def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@_jit
def _unit(v: Vector) -> Vector:
    scale = 1.0 / math.sqrt(_dot(v, v))
    return v[0] * scale, v[1] * scale, v[2] * scale


@_jit
def _wrapped(facing: float, wrap: float) -> float:
    """Lambert's cosine that reaches a little beyond the terminator (light under the surface)."""
    return max(0.0, (facing + wrap) / (1.0 + wrap))


@_jit
def _ggx(s: Surface, to_lamp: Vector, to_eye: Vector, facing: float) -> float:
    """Mirror reflection times cosine: GGX lobe, Smith-Schlick masking, Schlick's Fresnel."""
    if facing <= 0.0:
        return 0.0
    half = _unit((to_lamp[0] + to_eye[0], to_lamp[1] + to_eye[1], to_lamp[2] + to_eye[2]))
    a = s.rough * s.rough
    tail = max(0.0, _dot(s.normal, half)) ** 2 * (a * a - 1.0) + 1.0
    lobe = a * a / (math.pi * tail * tail)
    k = 0.5 * a
    seen = max(0.05, _dot(s.normal, to_eye))
    masking = 1.0 / ((facing * (1.0 - k) + k) * (seen * (1.0 - k) + k))
    grazing = 1.0 - max(0.0, _dot(to_eye, half))
    fresnel = s.f0 + (1.0 - s.f0) * grazing**2 * grazing**2 * grazing
    return 0.25 * lobe * masking * fresnel * facing


@_jit
def _environment(s: Surface, to_eye: Vector) -> Vector:
    """Light that has bounced off tissue: a dim red on tissue, its mirror image in metal."""
    if not s.metal:
        return 0.05 * s.red, 0.022 * s.green, 0.02 * s.blue
    facing = 2.0 * _dot(s.normal, to_eye)
    mx, my, mz = (
        facing * s.normal[0] - to_eye[0],
        facing * s.normal[1] - to_eye[1],
        facing * s.normal[2] - to_eye[2],
    )
    tissue = 1.0 / (1.0 + math.exp(-7.0 * (mz - 0.05)))  # mirror looks away from the endoscope
    tissue *= 0.6 + 0.4 * math.sin(4.0 * mx + 1.0) * math.sin(5.0 * my)  # lit and dark patches
    return (
        s.red * (0.30 * tissue + 0.02),
        s.green * (0.13 * tissue + 0.02),
        s.blue * (0.12 * tissue + 0.02),
    )


@_jit
def _apply(T: np.ndarray, p: Vector) -> Vector:
    return (
        T[0, 0] * p[0] + T[0, 1] * p[1] + T[0, 2] * p[2] + T[0, 3],
        T[1, 0] * p[0] + T[1, 1] * p[1] + T[1, 2] * p[2] + T[1, 3],
        T[2, 0] * p[0] + T[2, 1] * p[1] + T[2, 2] * p[2] + T[2, 3],
    )


@_jit
def _rotate_back(T: np.ndarray, v: Vector) -> Vector:
    """Return a direction of T's target frame in the camera frame."""
    return (
        T[0, 0] * v[0] + T[1, 0] * v[1] + T[2, 0] * v[2],
        T[0, 1] * v[0] + T[1, 1] * v[1] + T[2, 1] * v[2],
        T[0, 2] * v[0] + T[1, 2] * v[1] + T[2, 2] * v[2],
    )


@_jit
def _tissue(point: Vector, surfaces: Surfaces) -> Surface:
    """Sample colour, roughness and slope of the sheet, bilinear."""
    x, y, _ = _apply(surfaces.tissue_from_camera, point)
    n = surfaces.albedo.shape[0]
    u = min(max((x / SIDE + 0.5) * n - 0.5, 0.0), n - 1.001)
    v = min(max((y / SIDE + 0.5) * n - 0.5, 0.0), n - 1.001)
    i, j = int(v), int(u)
    v, u = v - i, u - j
    red = _bilinear(surfaces.albedo, i, j, 0, v, u) / 255.0
    green = _bilinear(surfaces.albedo, i, j, 1, v, u) / 255.0
    blue = _bilinear(surfaces.albedo, i, j, 2, v, u) / 255.0
    rough = _bilinear(surfaces.albedo, i, j, 3, v, u) / 255.0
    dx = _bilinear(surfaces.slope, i, j, 0, v, u)
    dy = _bilinear(surfaces.slope, i, j, 1, v, u)
    normal = _unit(_rotate_back(surfaces.tissue_from_camera, (-dx, -dy, 1.0)))
    return Surface(red * red, green * green, blue * blue, rough, 0.035, normal, False)


@_jit
def _bilinear(image: np.ndarray, i: int, j: int, channel: int, v: float, u: float) -> float:
    low: float = (1.0 - u) * image[i, j, channel] + u * image[i, j + 1, channel]
    high: float = (1.0 - u) * image[i + 1, j, channel] + u * image[i + 1, j + 1, channel]
    return (1.0 - v) * low + v * high


@_jit
def _shaft(point: Vector, T: np.ndarray, look: np.ndarray) -> Surface:
    """A tube with faint lengthwise streaks, in its own coordinates."""
    x, y, z = _apply(T, point)
    radius = math.sqrt(x * x + y * y)
    around = math.atan2(y, x) * 16.0
    streak = _value_noise(around * 1.5, z * 0.12) + 0.6 * _value_noise(around * 4.0, z * 0.45)
    grain = _value_noise(around * 6.0, z * 2.5)
    grey = look[0] * max(0.3, 1.0 + look[4] * 0.5 * streak + look[4] * 0.3 * grain)
    tilt = 0.10 * grain
    normal = _rotate_back(T, ((x - tilt * y) / radius, (y + tilt * x) / radius, 0.0))
    return Surface(
        look[1] * grey,
        look[2] * grey,
        look[3] * grey,
        0.40 + 0.05 * streak,
        0.045,
        _unit(normal),
        False,
    )


@_jit
def _steel(
    point: Vector, view: View, row: int, column: int, T: np.ndarray, bright: bool, look: np.ndarray
) -> Surface:
    """Blasted steel, darker in its recesses."""
    x, y, z = _apply(T, point)
    nx, ny, nz = _normal_from_depth(view, row, column)
    a = _value_noise((x + 0.6 * y) * 7.0, z * 2.0)  # brushed along the instrument
    b = _value_noise((y - 0.6 * x) * 7.0, z * 7.0)
    normal = _unit((nx + 0.06 * a, ny + 0.03 * b, nz))
    grey = (look[5] if bright else look[6]) * (1.0 + 0.12 * a) * _openness(view, row, column)
    return Surface(
        look[7] * grey, look[8] * grey, look[9] * grey, look[10] + 0.03 * b, grey, normal, True
    )


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
def _normal_from_depth(view: View, row: int, column: int) -> Vector:
    """Return the normal of the plane through the pixel and its neighbours on the surface."""
    a, b = _step(view, row, column, 0, 1), _step(view, row, column, 1, 0)
    normal = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    if _dot(normal, normal) < 1e-12:
        return 0.0, 0.0, -1.0
    n = _unit(normal)
    return (-n[0], -n[1], -n[2]) if n[2] > 0 else n


@_jit
def _step(view: View, row: int, column: int, down: int, right: int) -> Vector:
    """Return the 3-D step to the neighbour of more similar depth, 0 if both lie across an edge."""
    height, width = view.geom.shape
    here = view.depth[row, column]
    r, c, least = row, column, 0.0015  # m; a larger step is an edge, not a surface
    for sign in (-1, 1):
        r1, c1 = row + sign * down, column + sign * right
        if 0 <= r1 < height and 0 <= c1 < width and abs(view.depth[r1, c1] - here) < least:
            r, c, least = r1, c1, abs(view.depth[r1, c1] - here)
    z0, z1 = here * 1000.0, view.depth[r, c] * 1000.0
    return (
        ((c - view.cx) * z1 - (column - view.cx) * z0) / view.f,
        ((r - view.cy) * z1 - (row - view.cy) * z0) / view.f,
        z1 - z0,
    )


@_jit
def _openness(view: View, row: int, column: int) -> float:
    """Return 1 in the open, less where pixels 1.2 mm away lie in front (depth unsharp masking)."""
    height, width = view.geom.shape
    z = view.depth[row, column] * 1000.0
    reach = max(1, int(1.2 * view.f / z))
    hidden = 0.0
    for dr in range(-1, 2):
        for dc in range(-1, 2):
            r = min(max(row + dr * reach, 0), height - 1)
            c = min(max(column + dc * reach, 0), width - 1)
            above = z - view.depth[r, c] * 1000.0 - 0.4
            if above < 6.0:
                hidden += min(max(above, 0.0), 1.5)
    return 1.0 - 0.85 * min(hidden / 6.0, 1.0)


@_jit
def _visibility(
    point: Vector, row: int, column: int, instance: int, casters: np.ndarray, lamp: Vector
) -> float:
    """Return the key lamp's visible share from a point, with other instruments in the way."""
    visible = 1.0
    for c in range(casters.shape[0]):
        k = casters[c]
        if k[7] == instance or column < k[8] or row < k[9] or column > k[10] or row > k[11]:
            continue
        gap, along = _closest_approach(point, k, lamp)
        penumbra = 0.8 + LAMP_SIZE * along / max(1.0 - along, 0.1)
        t = min(max((gap - k[6]) / penumbra + 0.5, 0.0), 1.0)
        visible = min(visible, t * t * (3.0 - 2.0 * t))
    return visible


@_jit
def _closest_approach(p: Vector, k: np.ndarray, lamp: Vector) -> tuple[float, float]:
    """Return a capsule's distance from the ray to the key lamp, and where: 0 point..1 lamp."""
    u = (lamp[0] - p[0], lamp[1] - p[1], lamp[2] - p[2])
    v = (k[3] - k[0], k[4] - k[1], k[5] - k[2])
    w = (p[0] - k[0], p[1] - k[1], p[2] - k[2])
    uu, vv, uv, uw, vw = _dot(u, u), _dot(v, v), _dot(u, v), _dot(u, w), _dot(v, w)
    s = min(max((uv * vw - vv * uw) / max(uu * vv - uv * uv, 1e-6), 0.0), 1.0)
    t = min(max((uv * s + vw) / vv, 0.0), 1.0)
    s = min(max((uv * t - uw) / uu, 0.0), 1.0)
    d = (w[0] + s * u[0] - t * v[0], w[1] + s * u[1] - t * v[1], w[2] + s * u[2] - t * v[2])
    return math.sqrt(_dot(d, d)), s
