"""Tissue without instruments, and distances from it that are known by construction."""

import numpy as np
import pytest

from surgseg_ros.frames.tissue_distance import DistanceLevel
from surgseg_ros.frames.tool_pose import KeypointKind, PoseState, ToolKeypoint, ToolPose
from surgseg_ros.geometry.tissue import TissueSurface, tissue_distances, without_instruments
from surgseg_ros.geometry.tool_pose.evidence import Camera

CAMERA = Camera(530.0, 319.5, 255.5, 0.0043)
DEPTH = 0.08


def plane(hole: tuple[slice, slice] | None = None) -> np.ndarray:
    """Tissue at DEPTH all over, unknown in a hole."""
    depth = np.full((512, 640), DEPTH, np.float32)
    if hole:
        depth[hole] = np.nan
    return depth


def tool_above(height: float, stddev: float = 1e-4) -> ToolPose:
    """An instrument whose tips are `height` before the plane; its shaft comes from the right."""
    tip = np.array([0.0, 0.0, DEPTH - height])
    shaft = np.eye(4)
    shaft[:3, 2] = -1.0, 0.0, 0.0
    shaft[:3, 0] = 0.0, 0.0, 1.0
    shaft[:3, 1] = 0.0, -1.0, 0.0
    shaft[:3, 3] = tip + (0.03, 0.0, -0.01)
    kinds = (KeypointKind.JAW_TIP_1, KeypointKind.JAW_TIP_2, KeypointKind.JAW_TIPS)
    points = {kind: ToolKeypoint(tip, covariance=stddev**2 * np.eye(3)) for kind in kinds}
    points[KeypointKind.SHAFT_END] = ToolKeypoint(shaft[:3, 3])
    return ToolPose(1, shaft, np.eye(4), points, radius=0.004)


def measured(height: float, depth: np.ndarray, stddev: float = 1e-4):
    surface = TissueSurface.of(depth, CAMERA, 0.1)
    [found] = tissue_distances([tool_above(height, stddev)], surface, 0.005)
    return found


@pytest.mark.parametrize('height, level', [(0.003, DistanceLevel.WARN), (0.012, DistanceLevel.OK)])
def test_clearance_of_a_plane(height, level):
    found = measured(height, plane())
    assert found.tip_clearance == pytest.approx(height, abs=4e-4)
    assert found.shaft_clearance == pytest.approx(height + 0.01 - 0.004, abs=5e-4)
    assert found.level == level and found.visible_fraction == 1.0
    np.testing.assert_allclose(found.nearest_tissue, (0, 0, DEPTH), atol=1.5e-3)


def test_an_uncertain_pose_warns_from_farther_away():
    assert measured(0.009, plane(), 1e-4).level == DistanceLevel.OK
    assert measured(0.009, plane(), 3e-3).level == DistanceLevel.WARN


def test_tissue_that_is_not_seen_is_never_fine():
    hidden = plane((slice(100, 420), slice(140, 520)))
    assert measured(0.012, hidden).level == DistanceLevel.UNKNOWN
    assert measured(0.003, hidden).level != DistanceLevel.OK


def test_nothing_seen_and_no_pose_are_unknown():
    empty = np.full((512, 640), np.nan, np.float32)
    assert measured(0.012, empty).level == DistanceLevel.UNKNOWN
    tool = ToolPose(2, np.eye(4), np.eye(4), state=PoseState.INVALID)
    surface = TissueSurface.of(plane(), CAMERA)
    [found] = tissue_distances([tool], surface, 0.005)
    assert found.level == DistanceLevel.UNKNOWN and np.isnan(found.tip_clearance)


def test_instruments_are_taken_out_with_a_margin():
    tools = np.zeros((512, 640), bool)
    tools[200:300, 300:400] = True
    left = without_instruments(plane(), tools, 6)
    assert np.isnan(left[194:306, 300:400]).all() and np.isfinite(left[180:190, 300:400]).all()
