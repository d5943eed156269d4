"""Draw a cloud from where no camera stood: surface splatting with a z-buffer, on the CPU.

Every point is a disc as large as the gap to its neighbours; a first pass finds the nearest surface
of each pixel, a second blends the discs that lie on it (L. Kobbelt and M. Botsch, "A survey of
point-based techniques in computer graphics", Computers & Graphics 2004, section 5). Open3D would
do it, too: a wheel of 400 MB that brings some forty packages, a web server among them.
"""

from dataclasses import dataclass

import numba
import numpy as np

_STEP = 0.015         # of the depth: a larger one between neighbours is the edge of something
_STRETCH = 3.0        # largest disc, in gaps of a surface that faces the camera
_SMALLEST = 0.75      # px, radius of a disc: less leaves holes between pixel centres
_LARGEST = 12.0       # px: a point right before the viewer shall not fill the picture
_THICKNESS = 0.01     # of the depth: what lies further behind the nearest disc is hidden


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
    facing = points[..., 2] / np.float32(focal_length)   # gap between pixels that face the camera
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
    _splat(splats.points, splats.radii, splats.colours, pose.astype(np.float32),
           np.float32(focal_length), depth, blended)
    weight = blended[..., 3:]
    colours = blended[..., :3] / np.maximum(weight, np.float32(1e-6))
    cover = np.minimum(weight, 1)   # less than one disc's worth: an edge, which fades out
    empty = (1 - cover) * np.array(background, np.float32)
    return (cover * colours + empty + 0.5).astype(np.uint8)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _splat(
    points: np.ndarray,
    radii: np.ndarray,
    colours: np.ndarray,
    pose: np.ndarray,
    focal_length: np.float32,
    depth: np.ndarray,
    blended: np.ndarray,
) -> None:
    """Fill depth HxW with the nearest z, then blended HxWx4 with weighted RGB and weight."""
    height, width = depth.shape
    for blending in (False, True):
        for i in range(points.shape[0]):
            x, y, z = points[i]
            depth_i = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
            if depth_i <= 1e-3:
                continue
            scale = focal_length / depth_i
            u = scale * (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3])
            v = scale * (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3])
            u, v = u + (width - 1) / 2, v + (height - 1) / 2
            radius = min(max(radii[i] * scale, _SMALLEST), _LARGEST)
            top, bottom = max(int(np.ceil(v - radius)), 0), min(int(v + radius), height - 1)
            left, right = max(int(np.ceil(u - radius)), 0), min(int(u + radius), width - 1)
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    squared = ((row - v) ** 2 + (column - u) ** 2) / radius**2
                    if squared > 1:
                        continue
                    if not blending:
                        depth[row, column] = min(depth[row, column], depth_i)
                    elif depth_i <= depth[row, column] * (1 + _THICKNESS):
                        weight = np.float32(np.exp(-3 * squared))
                        for channel in range(3):
                            blended[row, column, channel] += weight * colours[i, channel]
                        blended[row, column, 3] += weight
