"""Tissue without instruments: its depth, and how far instruments are from it.

Below an instrument tissue is not seen, and it may be nearer than all that is. So what lies below
is filled in smoothly from around it; where the nearest tissue is of that kind, a distance is a
warning or unknown, never fine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from surgseg_ros.frames.tissue_distance import DistanceLevel, TissueDistance
from surgseg_ros.frames.tool_pose import KeypointKind, PoseState, ToolPose
from surgseg_ros.geometry.tool_pose.evidence import ASSUMED_STDDEV, Camera

CELLS = 80  # along the picture's width: distances are measured to means over cells
FILLED = 0.4  # share of a cell's pixels that must be known
FILL_STDDEV = 1.5e-3  # m: how well the surface below an instrument is guessed
NEAR = 0.012  # m around the tip: the tissue of which a share must be seen
SEEN_ENOUGH = 0.35
_TIPS = (KeypointKind.JAW_TIP_1, KeypointKind.JAW_TIP_2, KeypointKind.JAW_TIPS)


def without_instruments(values: np.ndarray, tools: np.ndarray, dilation: int) -> np.ndarray:
    """HxW float32 with NaN where `tools` (HxW bool), widened by `dilation` px, are."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * dilation + 1,) * 2)
    wide = cv2.dilate(tools.astype(np.uint8), kernel) if dilation else tools
    return np.where(wide > 0, np.float32(np.nan), values).astype(np.float32)


@dataclass(frozen=True)
class TissueSurface:
    """Means over cells. points: N x 3 m. seen: N bool, else filled in. stddev: N, m, of z."""

    points: np.ndarray
    seen: np.ndarray
    stddev: np.ndarray

    @classmethod
    def of(
        cls, tissue: np.ndarray, camera: Camera, disparity_stddev: float = ASSUMED_STDDEV
    ) -> 'TissueSurface':
        """From a depth without instruments: HxW float32 m, NaN unknown."""
        height, width = tissue.shape
        columns = min(CELLS, width)
        rows = max(1, round(height * columns / width))
        known = np.isfinite(tissue)
        inverse = np.divide(1.0, tissue, out=np.zeros_like(tissue), where=known & (tissue > 0))
        weight = cv2.resize(
            known.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA
        )
        mean = cv2.resize(inverse, (columns, rows), interpolation=cv2.INTER_AREA)
        seen = weight > FILLED
        mean = np.where(seen, mean / np.maximum(weight, 1e-6), 0.0).astype(np.float32)
        filled = _fill(mean, seen.astype(np.float32))
        v, u = np.mgrid[:rows, :columns]
        pixels = np.column_stack(
            [(u.ravel() + 0.5) * width / columns - 0.5, (v.ravel() + 0.5) * height / rows - 0.5]
        )
        there = filled.ravel() > 0
        z = 1.0 / filled.ravel()[there].astype(np.float64)
        seen_there = seen.ravel()[there]
        scale = camera.f * camera.baseline
        stddev = np.hypot(
            z**2 / scale * disparity_stddev / 2, np.where(seen_there, 0, FILL_STDDEV)
        )
        return cls(camera.rays(pixels[there]) * z[:, None], seen_there, stddev)


def _fill(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill what has no weight from coarser and coarser means (pull and push)."""
    if weight.min() > 0 or min(values.shape) < 2 or not weight.any():
        return values
    size = (math.ceil(values.shape[1] / 2), math.ceil(values.shape[0] / 2))
    coarse_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values * weight, size, interpolation=cv2.INTER_AREA)
    coarse = np.divide(coarse, coarse_weight, out=np.zeros_like(coarse), where=coarse_weight > 0)
    below = _fill(coarse, (coarse_weight > 0).astype(np.float32))
    wide = cv2.resize(below, values.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(weight > 0, values, wide).astype(np.float32)


def tissue_distances(
    tools: Sequence[ToolPose], surface: TissueSurface, warn_distance: float
) -> list[TissueDistance]:
    """Distance of each instrument; those without a pose are UNKNOWN. warn_distance: m."""
    return [_distance(tool, surface, warn_distance) for tool in tools]


def _distance(tool: ToolPose, surface: TissueSurface, warn_distance: float) -> TissueDistance:
    unknown = TissueDistance(tool.slot, tool.track_id, DistanceLevel.UNKNOWN)
    if tool.state == PoseState.INVALID or not len(surface.points):
        return unknown
    tips = np.stack([tool.point(kind) for kind in _TIPS])
    if not np.isfinite(tips).all():
        return unknown
    gaps = np.linalg.norm(surface.points[None] - tips[:, None], axis=2)
    tip, cell = np.unravel_index(int(np.argmin(gaps)), gaps.shape)
    clearance = float(gaps[tip, cell])
    stddev = _stddev(tool, _TIPS[tip], surface, int(cell), tips[tip])
    around = gaps[tip] < max(NEAR, 1.5 * clearance)
    fraction = float(surface.seen[around].mean()) if around.any() else 0.0
    near_seen = gaps[:, surface.seen].min() if surface.seen.any() else np.inf
    if clearance - 2 * stddev < warn_distance or near_seen - 2 * stddev < warn_distance:
        level = DistanceLevel.WARN
    elif fraction < SEEN_ENOUGH:
        level = DistanceLevel.UNKNOWN
    else:
        level = DistanceLevel.OK
    return TissueDistance(
        tool.slot,
        tool.track_id,
        level,
        clearance,
        _shaft_clearance(tool, surface),
        stddev,
        fraction,
        tips[tip],
        surface.points[cell],
    )


def _stddev(
    tool: ToolPose, kind: KeypointKind, surface: TissueSurface, cell: int, tip: np.ndarray
) -> float:
    """Of the distance between a tip and a cell, along the line between them."""
    towards = surface.points[cell] - tip
    towards = towards / max(float(np.linalg.norm(towards)), 1e-9)
    covariance = tool.keypoints[kind].covariance
    of_tip = float(towards @ covariance @ towards)
    ray = surface.points[cell] / surface.points[cell][2]
    of_tissue = float(surface.stddev[cell] * (ray @ towards)) ** 2
    return math.sqrt(of_tip + of_tissue)


def _shaft_clearance(tool: ToolPose, surface: TissueSurface) -> float:
    """From the tube's surface, between its end and where it enters the picture."""
    end, entry = tool.point(KeypointKind.SHAFT_END), tool.point(KeypointKind.ENTRY)
    if not np.isfinite(end).all():
        return math.nan
    start = entry if np.isfinite(entry).all() else end - 0.05 * tool.axis
    along = np.clip((surface.points - start) @ tool.axis, 0.0, (end - start) @ tool.axis)
    gaps = np.linalg.norm(surface.points - start - along[:, None] * tool.axis, axis=1)
    return float(gaps.min() - tool.radius)
