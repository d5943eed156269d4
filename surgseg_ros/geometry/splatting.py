"""Draw a cloud from where no camera stood: surface splatting with a z-buffer, on the CPU.

Every point is a disc as large as the gap to its neighbours; a first pass finds the nearest surface
of each pixel, a second blends the discs that lie on it (L. Kobbelt and M. Botsch, "A survey of
point-based techniques in computer graphics", Computers & Graphics 2004, section 5). Open3D would
do it, too: a wheel of 400 MB that brings some forty packages, a web server among them.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

_STEP = 0.015  # of the depth: a larger one between neighbours is an edge
_STRETCH = 3.0  # largest disc, in gaps of a surface that faces the camera
_LARGEST = np.float32(12)  # px: a point right before the viewer shall not fill the picture
_NEAREST = np.float32(1e-3)  # m before the viewer
_BEHIND = np.float32(1.01)  # times the nearest depth: what lies further behind is hidden
_RIM = np.float32(0.05)  # weight at the rim of a disc, 1 more in its middle


@dataclass(frozen=True)
class Splats:
    """points: Nx3 float32, m. radii: N float32, m. colours: Nx3 uint8 RGB."""

    points: np.ndarray
    radii: np.ndarray
    colours: np.ndarray


def splats_of(cloud: np.ndarray, focal_length: float) -> Splats:
    """Discs for an organised HxW cloud of disparity_to_cloud; focal_length of its camera, px.

    Pixels next to a step in depth are left out: between tool and tissue there is no surface.
    """
    points = np.stack([cloud[axis] for axis in 'xyz'], axis=-1)
    facing = points[..., 2] / np.float32(focal_length)  # gap between pixels that face the camera
    spacing = np.zeros_like(facing)
    for axis in (0, 1):
        gaps = np.linalg.norm(np.diff(points, axis=axis), axis=-1)
        before, after = np.zeros_like(spacing), np.zeros_like(spacing)
        np.moveaxis(after, axis, 0)[:-1] = np.moveaxis(gaps, axis, 0)
        np.moveaxis(before, axis, 0)[1:] = np.moveaxis(gaps, axis, 0)
        spacing = np.maximum(spacing, np.fmax(before, after))
    solid = np.isfinite(facing) & (spacing < _STEP * points[..., 2])
    words = np.ascontiguousarray(cloud['rgb']).view(np.uint32)[solid]
    colours = np.stack([words >> shift & 0xFF for shift in (16, 8, 0)], axis=-1)
    radii = np.clip(spacing, facing, _STRETCH * facing)[solid]
    return Splats(points[solid], radii, colours.astype(np.uint8))


def draw(
    splats: Splats,
    pose: np.ndarray,
    focal_length: float,
    size: tuple[int, int],
    background: tuple[int, int, int] = (0, 0, 0),
) -> np.ndarray:
    """HxWx3 uint8 RGB picture by a pinhole camera whose axis passes through the middle.

    pose: 4x4, camera (x right, y down, z forward) from the frame of the points. focal_length px.
    size: (width, height) px.
    """
    width, height = size
    depth = np.full((height, width), np.inf, np.float32)
    blended = np.zeros((height, width, 4), np.float32)
    seen = _project(
        splats.points,
        splats.radii,
        pose.astype(np.float32),
        np.float32(focal_length),
        width,
        height,
    )
    _splat(seen, splats.colours, depth, blended)
    weight = blended[..., 3:]
    colours = blended[..., :3] / np.maximum(weight, np.float32(1e-6))
    cover = np.minimum(weight, 1)  # less than one disc's worth: an edge, which fades out
    empty = (1 - cover) * np.array(background, np.float32)
    image: np.ndarray = (cover * colours + empty + 0.5).astype(np.uint8)
    return image


@numba.njit(cache=True, nogil=True, fastmath=True)
def _project(
    points: np.ndarray,
    radii: np.ndarray,
    pose: np.ndarray,
    focal_length: np.float32,
    width: int,
    height: int,
) -> np.ndarray:
    """N x (u px, v px, z m, radius px) float32; z 0 behind the camera."""
    seen = np.zeros((points.shape[0], 4), np.float32)
    half = np.float32(0.5)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        depth = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
        if depth < _NEAREST:
            continue
        scale = focal_length / depth
        right = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]
        down = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]
        seen[i, 0] = right * scale + (width - 1) * half
        seen[i, 1] = down * scale + (height - 1) * half
        seen[i, 2] = depth
        seen[i, 3] = min(radii[i] * scale, _LARGEST)
    return seen


@numba.njit(cache=True, nogil=True, fastmath=True)
def _splat(seen: np.ndarray, colours: np.ndarray, depth: np.ndarray, blended: np.ndarray) -> None:
    """Fill depth HxW with the nearest z, then blended HxWx4 with weighted RGB and weight."""
    height, width = depth.shape
    for blending in (False, True):
        for i in range(seen.shape[0]):
            u, v, z, radius = seen[i, 0], seen[i, 1], seen[i, 2], seen[i, 3]
            if z == 0:
                continue
            inverse = np.float32(1) / (radius * radius)
            top, bottom = max(math.ceil(v - radius), 0), min(math.floor(v + radius), height - 1)
            left, right = max(math.ceil(u - radius), 0), min(math.floor(u + radius), width - 1)
            for row in range(top, bottom + 1):
                dy = np.float32(row) - v
                for column in range(left, right + 1):
                    dx = np.float32(column) - u
                    squared = (dx * dx + dy * dy) * inverse
                    if squared > 1:
                        continue
                    if not blending:
                        depth[row, column] = min(depth[row, column], z)
                    elif z <= depth[row, column] * _BEHIND:
                        weight = (1 - squared) * (1 - squared) + _RIM
                        for channel in range(3):
                            blended[row, column, channel] += weight * colours[i, channel]
                        blended[row, column, 3] += weight
