"""Stereo frames with every kind of ground truth, made of noise: fast, and easy to compare."""

import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.frames.stereo_frame import GroundTruth, StereoFrame
from surgseg_ros.frames.tool_pose import KeypointKind, ToolKeypoint, ToolPose

FIRST_STAMP = 1_000_000_000
PERIOD = 100_000_000  # 10 Hz


def fake_calibration(width: int = 64, height: int = 48, offset: float = 0.0) -> StereoCalibration:
    """Rectified pair, f = 60 px, baseline 4.3 mm; cx_left - cx_right = offset px."""

    def camera(cx: float, baseline: float) -> CameraModel:
        K = np.array([[60.0, 0, cx], [0, 60.0, height / 2], [0, 0, 1]])
        P = np.column_stack([K, [-60.0 * baseline, 0, 0]])
        return CameraModel(width, height, K, np.zeros(5), np.eye(3), P)

    return StereoCalibration(camera(width / 2 + offset, 0.0), camera(width / 2, 0.0043))


def fake_truth(height: int, width: int, index: int) -> GroundTruth:
    """Two tools: rectangles with a shaft and a jaw; disparity with a hole."""
    disparity = np.linspace(2, 9, height * width, dtype=np.float32).reshape(height, width)
    disparity[0, :5] = np.nan
    parts = np.zeros((height, width), np.uint8)
    instances = np.zeros((height, width), np.uint8)
    for slot, (top, left) in enumerate([(4, 2 + index), (20, 30)], start=1):
        parts[top : top + 8, left : left + 20] = 1
        parts[top : top + 4, left : left + 6] = 3
        instances[top : top + 8, left : left + 20] = slot
    pose = np.array([[0, -1, 0, 0.01], [1, 0, 0, 0.02], [0, 0, 1, 0.07], [0, 0, 0, 1.0]])
    tips = ToolKeypoint(np.array([0.01, 0.02, 0.09]), np.array([12.5, 7.25]), visible=True)
    keypoints = {KeypointKind.JAW_TIPS: tips}
    tools = tuple(
        ToolPose(slot, pose, pose @ pose, keypoints, 0.5, class_id=2, class_name='needle_driver')
        for slot in (1, 2)
    )
    return GroundTruth(disparity, parts, instances, tools)


def fake_frames(
    count: int = 4, width: int = 64, height: int = 48, truth: bool = True
) -> list[StereoFrame]:
    """Frames at 10 Hz with random pixels."""
    random = np.random.default_rng(1)
    return [
        StereoFrame(
            stamp=FIRST_STAMP + PERIOD * index,
            left=random.integers(0, 256, (height, width, 3), np.uint8),
            right=random.integers(0, 256, (height, width, 3), np.uint8),
            calibration=fake_calibration(width, height),
            truth=fake_truth(height, width, index) if truth else None,
        )
        for index in range(count)
    ]


def assert_same_frame(actual: StereoFrame, expected: StereoFrame) -> None:
    """All that a frame holds is equal; poses to rounding."""
    assert (actual.stamp, actual.frame_id) == (expected.stamp, expected.frame_id)
    np.testing.assert_array_equal(actual.left, expected.left)
    np.testing.assert_array_equal(actual.right, expected.right)
    assert (actual.calibration is None) == (expected.calibration is None)
    if actual.calibration and expected.calibration:
        assert_same_camera(actual.calibration.left, expected.calibration.left)
        assert_same_camera(actual.calibration.right, expected.calibration.right)
    assert (actual.truth is None) == (expected.truth is None)
    if actual.truth and expected.truth:
        assert_same_truth(actual.truth, expected.truth)


def assert_same_camera(actual: CameraModel, expected: CameraModel) -> None:
    for name in ('K', 'D', 'R', 'P'):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name), name)
    assert (actual.width, actual.height) == (expected.width, expected.height)
    assert actual.distortion_model == expected.distortion_model


def assert_same_truth(actual: GroundTruth, expected: GroundTruth) -> None:
    for name in ('disparity', 'parts', 'instances'):
        one, other = getattr(actual, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_array_equal(one, other, name)
    assert len(actual.tools) == len(expected.tools)
    for tool, true in zip(actual.tools, expected.tools, strict=True):
        assert (tool.slot, tool.class_id, tool.class_name) == (
            true.slot,
            true.class_id,
            true.class_name,
        )
        np.testing.assert_allclose(tool.shaft, true.shaft, atol=1e-12)
        np.testing.assert_allclose(tool.control_point, true.control_point, atol=1e-12)
        assert tool.keypoints.keys() == true.keypoints.keys()
        for kind, point in true.keypoints.items():
            np.testing.assert_allclose(tool.point(kind), point.point, atol=1e-12)
            np.testing.assert_allclose(tool.keypoints[kind].pixel, point.pixel, atol=1e-4)
            assert tool.keypoints[kind].visible == point.visible
        np.testing.assert_allclose(tool.jaw_angle, true.jaw_angle, rtol=1e-6)
