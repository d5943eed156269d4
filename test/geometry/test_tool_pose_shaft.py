"""The shaft of an instrument, from masks and disparities computed by intersecting rays."""

import numpy as np
import pytest
from synthetic_tool import AXIS, CAMERA, END, SHAPE, SIZE, straight_tool

from surgseg_ros.frames.parts import Part
from surgseg_ros.frames.tool_pose import PoseReason, PoseState
from surgseg_ros.geometry.tool_pose.estimate import estimate_tool
from surgseg_ros.geometry.tool_pose.evidence import Evidence


@pytest.fixture(scope='module')
def tool() -> tuple[np.ndarray, np.ndarray]:
    return straight_tool()


def errors(pose) -> tuple[float, float]:
    """Of the axis in degrees, and of its position in mm."""
    angle = np.degrees(np.linalg.norm(np.cross(pose.axis, AXIS)))
    return angle, 1e3 * np.linalg.norm(np.cross(END - pose.shaft[:3, 3], pose.axis))


def exact(disparity: np.ndarray) -> np.ndarray:
    return np.full(disparity.shape, 0.02, np.float32)


def test_exact_data(tool):
    parts, disparity = tool
    pose = estimate_tool(Evidence(parts, CAMERA, disparity, exact(disparity)), SHAPE)
    angle, across = errors(pose)
    assert pose.axis @ AXIS > 0, 'towards the distal end'
    assert angle < 0.1 and across < 0.05
    assert abs((pose.shaft[:3, 3] - END) @ AXIS) < 0.5e-3
    assert pose.state == PoseState.MEASURED and pose.reasons & PoseReason.HALF_TURN


def test_without_disparity_it_is_monocular(tool):
    parts, _ = tool
    pose = estimate_tool(Evidence(parts, CAMERA), SHAPE)
    angle, across = errors(pose)
    assert pose.reasons & PoseReason.MONOCULAR
    assert angle < 3 and across < 0.3


def test_holes_bleed_and_a_thread_do_no_harm(tool):
    parts, disparity = (image.copy() for image in tool)
    random = np.random.default_rng(3)
    rows, columns = np.nonzero(parts == Part.SHAFT)
    for index in random.integers(0, len(rows), 12):  # specular holes
        v, u = rows[index], columns[index]
        parts[v - 3 : v + 4, u - 3 : u + 4] = 0
        disparity[v - 5 : v + 6, u - 5 : u + 6] = 90.0
    v, u = rows[len(rows) // 2], columns[rows == rows[len(rows) // 2]].max()
    parts[v - 8 : v + 8, u - 4 : u + 6] = Part.SHAFT  # the mask bleeds into the tissue
    parts[200:203, 150:310] = Part.SHAFT  # a thread
    noise = np.kron(random.normal(0, 0.4, (32, 40)), np.ones((8, 8))).astype(np.float32)
    pose = estimate_tool(Evidence(parts, CAMERA, disparity + noise), SHAPE)
    angle, across = errors(pose)
    assert angle < 2.0 and across < 0.3


def test_a_mask_without_parts(tool):
    parts, disparity = tool
    whole = np.where(parts > 0, Part.UNKNOWN, 0).astype(np.uint8)
    pose = estimate_tool(Evidence(whole, CAMERA, disparity, exact(disparity)), SHAPE)
    angle, across = errors(pose)
    assert angle < 0.5 and across < 0.1


@pytest.mark.parametrize('kept', [Part.SHAFT, Part.JAW])
def test_parts_that_are_absent_give_no_control_point(tool, kept):
    parts, disparity = tool
    only = np.where(parts == kept, parts, 0).astype(np.uint8)
    pose = estimate_tool(Evidence(only, CAMERA, disparity, exact(disparity)), SHAPE)
    assert pose.state == PoseState.INVALID and pose.reasons & PoseReason.FEW_POINTS
    assert np.isnan(pose.control_point[:3, 3]).all()


def test_three_pixels_are_no_pose(tool):
    parts = np.zeros(SIZE, np.uint8)
    parts[10, 10:13] = Part.SHAFT
    pose = estimate_tool(Evidence(parts, CAMERA, tool[1]), SHAPE)
    assert pose.state == PoseState.INVALID and pose.reasons & PoseReason.FEW_POINTS


def test_disparity_all_nan_is_none(tool):
    parts, disparity = tool
    pose = estimate_tool(Evidence(parts, CAMERA, np.full_like(disparity, np.nan)), SHAPE)
    assert pose.reasons & PoseReason.MONOCULAR
    assert pose.shaft_covariance[2, 2] > 0


def test_a_disparity_that_contradicts_the_outline_is_said(tool):
    parts, disparity = tool
    pose = estimate_tool(Evidence(parts, CAMERA, 2 * disparity), SHAPE)
    assert pose.state == PoseState.INVALID and pose.reasons & PoseReason.BAD_DEPTH
    assert np.isnan(pose.control_point[:3, 3]).all()
