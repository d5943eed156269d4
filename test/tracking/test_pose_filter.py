"""Poses over time: noise, outliers, gaps, half turns, moving cameras."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from surgseg_ros.frames.tool_pose import (
    KeypointKind,
    PoseReason,
    PoseState,
    ToolKeypoint,
    ToolPose,
)
from surgseg_ros.tracking.pose_filter import PoseFilter, moved

SIGMA = 1e-3
PERIOD = 0.1


def pose_at(position, turn=0.0, track: int = 5, reasons=PoseReason.NONE) -> ToolPose:
    control = np.eye(4)
    control[:3, :3] = Rotation.from_euler('z', turn).as_matrix()
    control[:3, 3] = position
    covariance = np.diag(3 * [SIGMA**2] + 3 * [1e-3])
    if reasons & PoseReason.HALF_TURN:
        covariance[5, 5] += np.pi**2 / 2
    points = {
        KeypointKind.SHAFT_END: ToolKeypoint(np.array(position), covariance=1e-6 * np.eye(3))
    }
    return ToolPose(
        1, control.copy(), control, points, 0.4, jaw_variance=0.01, track_id=track,
        reasons=reasons, shaft_covariance=covariance, control_covariance=covariance,
    )  # fmt: skip


def line(step: int) -> np.ndarray:
    """A point that moves at 20 mm/s."""
    return np.array([0.02 * PERIOD * step, 0.0, 0.07])


def test_noise_is_less_and_velocity_is_found():
    random = np.random.default_rng(2)
    filtered, raw = [], []
    poses = PoseFilter()
    for step in range(60):
        measured = line(step) + random.normal(0, SIGMA, 3)
        [out] = poses.update(step * PERIOD, [pose_at(measured)])
        if step > 20:
            filtered.append(np.linalg.norm(out.control_point[:3, 3] - line(step)))
            raw.append(np.linalg.norm(measured - line(step)))
    assert np.mean(filtered) < 0.95 * np.mean(raw)
    assert abs(out.twist[0] - 0.02) < 0.02
    assert out.control_covariance[0, 0] < SIGMA**2


def test_an_outlier_is_refused_but_not_for_ever():
    poses = PoseFilter(predicts=True)
    for step in range(10):
        poses.update(step * PERIOD, [pose_at(line(step))])
    far = np.array([0.0, 0.05, 0.07])
    [out] = poses.update(10 * PERIOD, [pose_at(far)])
    assert out.state == PoseState.PREDICTED
    assert np.linalg.norm(out.control_point[:3, 3] - line(10)) < 2e-3
    for step in (11, 12):
        [out] = poses.update(step * PERIOD, [pose_at(far)])
    assert out.state == PoseState.MEASURED
    assert np.linalg.norm(out.control_point[:3, 3] - far) < SIGMA


def test_gaps_of_ten_frames_keep_slot_and_are_predicted_only_if_asked():
    for predicts in (False, True):
        poses = PoseFilter(predicts=predicts)
        poses.update(0.0, [pose_at(line(0), track=5), pose_at(line(0), track=6)])
        for step in range(1, 5):
            found = [pose_at(line(step), track=5), pose_at(line(step), track=6)]
            slots = {out.track_id: out.slot for out in poses.update(step * PERIOD, found)}
        for step in range(5, 15):
            outs = poses.update(step * PERIOD, [pose_at(line(step), track=6)])
            gone = [out for out in outs if out.track_id == 5]
            assert [out.state for out in gone] == ([PoseState.PREDICTED] if predicts else [])
        outs = poses.update(15 * PERIOD, [pose_at(line(15), track=5)])
        assert {out.slot for out in outs if out.track_id == 5} == {slots[5]}
        assert slots == {5: 1, 6: 2}


def test_of_two_half_turns_the_track_goes_on_with_its_own():
    poses = PoseFilter()
    for step in range(6):
        turn = 0.1 * step + np.pi * (step % 2)
        measured = pose_at(line(step), turn, reasons=PoseReason.HALF_TURN)
        [out] = poses.update(step * PERIOD, [measured])
        x = out.control_point[:3, 0]
        assert x @ (np.cos(0.1 * step), np.sin(0.1 * step), 0) > 0.98


def test_in_a_fixed_frame_a_moving_camera_is_no_motion():
    poses = PoseFilter()
    still = pose_at((0.01, 0.0, 0.07))
    for step in range(20):
        camera = np.eye(4)
        camera[:3, :3] = Rotation.from_euler('y', 0.05 * step).as_matrix()
        camera[:3, 3] = 0.004 * step, 0, 0
        seen = moved(still, np.linalg.inv(camera))
        [out] = poses.update(step * PERIOD, [seen], camera)
    assert np.linalg.norm(out.twist[:3]) < 1e-6
    np.testing.assert_allclose(out.control_point, seen.control_point, atol=1e-9)


def test_slots_are_limited_and_invalid_poses_pass():
    poses = PoseFilter(max_tools=2)
    many = [pose_at(line(0), track=n) for n in (1, 2, 3)]
    assert [out.slot for out in poses.update(0.0, many)] == [1, 2]
    lost = replace(many[0], state=PoseState.INVALID)
    [out] = poses.update(PERIOD, [lost])
    assert (out.state, out.slot) == (PoseState.INVALID, 1)
