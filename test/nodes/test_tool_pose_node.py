"""tool_pose_node as a real process: what it publishes, in which frame, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from harness import FRAME_ID, Graph, graph, wait_for
from synthetic_tool import AXIS, CAMERA, END, SHAPES, SIZE, straight_tool

from surgseg_ros.frames.tool_pose import PoseReason, PoseState
from surgseg_ros.geometry.transforms import ISI_FROM_OPTICAL
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.images import decode_float
from surgseg_ros.rosdata.messages import matrix_from_pose, stamp_of
from surgseg_ros.rosdata.tool_poses import tools_from_message
from surgseg_ros.simulation.camera import pinhole_pair

CALIBRATION = pinhole_pair(SIZE[1], SIZE[0], CAMERA.f, CAMERA.baseline)
TOPICS = {
    'tool_poses': 'surgseg_ros/msg/ToolPoses',
    'tool1/measured_cp': 'geometry_msgs/msg/PoseStamped',
    'tool1/jaw/measured_js': 'sensor_msgs/msg/JointState',
    '/tf': 'tf2_msgs/msg/TFMessage',
    'markers': 'visualization_msgs/msg/MarkerArray',
    'tissue_depth': 'sensor_msgs/msg/Image',
    'tissue_depth/camera_info': 'sensor_msgs/msg/CameraInfo',
    'tissue_points2': 'sensor_msgs/msg/PointCloud2',
    'tissue_distance': 'surgseg_ros/msg/TissueDistances',
}
CONTROL = END + 0.0166 * AXIS
TISSUE = 0.1  # m, depth of a plane behind the instrument


@pytest.fixture(scope='module')
def table(tmp_path_factory) -> str:
    path: Path = tmp_path_factory.mktemp('table') / 'instruments.yaml'
    path.write_text(yaml.safe_dump(SHAPES))
    return str(path)


@pytest.fixture(scope='module')
def tool() -> tuple[np.ndarray, np.ndarray]:
    parts, disparity = straight_tool()
    behind = np.float32(CAMERA.f * CAMERA.baseline / TISSUE)
    return parts, np.where(parts > 0, disparity, behind)


def send(net: Graph, parts: np.ndarray, disparity: np.ndarray, *, info: bool = True) -> int:
    """One frame: masks, disparity and camera_info of the same stamp."""
    stamp = next(net.clock)
    header = messages.header(make_message, stamp, FRAME_ID)
    if info:
        camera = messages.camera_info(make_message, header, CALIBRATION.left)
        net.publish('left/camera_info', camera)
    found = [messages.instrument_instance(make_message, parts, 3, 'forceps', 0.9, 7)]
    seen = found if parts.any() else []
    masks = messages.instrument_instances(make_message, header, *parts.shape, seen)
    net.publish('instances', masks)
    image = messages.disparity_image(make_message, header, disparity, CALIBRATION)
    net.publish('disparity', image)
    return stamp


@pytest.fixture(scope='module')
def net(table, tool):
    """A node that has taken its first frame."""
    with graph() as net:
        for topic, kind in TOPICS.items():
            net.listen(topic, kind)
        net.start('tool_pose_node', instruments=table, filtering=False)
        net.connect_by(lambda: send(net, *tool), 'tool_pose')
        yield net


def test_every_output_has_stamp_and_frame_of_its_picture(net, tool):
    stamp = send(net, *tool)
    for topic in set(TOPICS) - {'/tf', 'markers'}:
        message = net.answer(stamp, topic)
        assert message.header.frame_id == FRAME_ID, topic
    [pose] = tools_from_message(net.answer(stamp, 'tool_poses'))
    assert (pose.slot, pose.track_id, pose.class_name) == (1, 7, 'forceps')
    assert pose.state == PoseState.MEASURED and pose.reasons & PoseReason.HALF_TURN
    control = matrix_from_pose(net.answer(stamp, 'tool1/measured_cp').pose)
    np.testing.assert_allclose(control, pose.control_point, atol=1e-9)
    assert np.linalg.norm(control[:3, 3] - CONTROL) < 1.5e-3
    joints = net.answer(stamp, 'tool1/jaw/measured_js')
    assert list(joints.name) == ['jaw'] and np.isclose(joints.position[0], pose.jaw_angle)
    frames = {t.child_frame_id for m in net.received['/tf'] for t in m.transforms}
    assert frames == {'tool1_shaft', 'tool1_control_point'}


def test_tissue_has_no_instrument(net, tool):
    stamp = send(net, *tool)
    depth = decode_float(net.answer(stamp, 'tissue_depth'))
    assert np.isnan(depth[tool[0] > 0]).all()
    far = np.isfinite(depth)
    assert far.mean() > 0.5
    np.testing.assert_allclose(depth[far], TISSUE, rtol=1e-5)
    cloud = messages.cloud_from_message(net.answer(stamp, 'tissue_points2'))
    np.testing.assert_array_equal(np.isnan(cloud['z']), ~far)
    [one] = net.answer(stamp, 'tissue_distance').tools
    tip = END + 0.0266 * AXIS
    nearest = min(one.tip_clearance, one.shaft_clearance)
    warns = nearest - 2 * one.stddev < 0.005  # warn_distance
    assert one.level == (one.WARN if warns else one.OK)
    assert one.tip_clearance == pytest.approx(TISSUE - tip[2], abs=2e-3)


def refused(net: Graph, send_it, sentence: str) -> None:
    """Whatever is sent gives no pose, but this sentence as an ERROR."""

    def says():
        send_it()
        status = net.status('tool_pose')
        return status and status.level == DiagnosticStatus.ERROR and sentence in status.message

    wait_for(says, what=net.report)


def test_sizes_that_differ_are_refused(net, tool):
    parts, disparity = tool
    half = disparity[::2, ::2]
    refused(net, lambda: send(net, parts, half), 'camera_info says 320x256')


def invalid(net: Graph, parts: np.ndarray, disparity: np.ndarray) -> int:
    """Reasons of a frame whose pose must be INVALID; nothing else of it is published."""
    before = len(net.received['tool1/measured_cp'])
    stamp = send(net, parts, disparity)
    [pose] = tools_from_message(net.answer(stamp, 'tool_poses'))
    assert pose.state == PoseState.INVALID and np.isnan(pose.control_point[:3, 3]).all()
    assert len(net.received['tool1/measured_cp']) == before
    return pose.reasons


def test_three_pixels_and_a_shaft_alone(net, tool):
    parts, disparity = tool
    few = np.zeros_like(parts)
    few[5, 5:8] = 1
    assert invalid(net, few, disparity) & PoseReason.FEW_POINTS
    assert invalid(net, np.where(parts == 1, parts, 0).astype(np.uint8), disparity)
    wait_for(lambda: 'FEW_POINTS' in net.fresh_values('tool_pose')['no pose'], what=net.report)


def test_without_an_instrument_the_diagnostics_say_so(net, tool):
    stamp = send(net, np.zeros_like(tool[0]), tool[1])
    assert not net.answer(stamp, 'tool_poses').tools
    values = net.fresh_values('tool_pose')
    assert values['no pose'] == 'no instrument is in view'


def test_disparity_of_nan_is_monocular(net, tool):
    stamp = send(net, tool[0], np.full_like(tool[1], np.nan))
    [pose] = tools_from_message(net.answer(stamp, 'tool_poses'))
    assert pose.reasons & PoseReason.MONOCULAR
    [one] = net.answer(stamp, 'tissue_distance').tools
    assert one.level == one.UNKNOWN


def test_target_frame_and_control_point(table, tool):
    """ISI's axes by the transform that comes with the node; jaw_tips, not the wrist."""
    with graph() as net:
        net.listen('tool_poses', TOPICS['tool_poses'])
        net.listen('tool1/measured_cp', TOPICS['tool1/measured_cp'])
        net.start(
            'tool_pose_node',
            instruments=table,
            target_frame=f'{FRAME_ID}_isi',
            control_point='jaw_tips',
        )
        wait_for(lambda: net.status('tool_pose'), what=net.report)

        def answered():
            send(net, *tool)
            return net.received['tool1/measured_cp']

        message = wait_for(answered, what=net.report)[0]
        assert message.header.frame_id == f'{FRAME_ID}_isi'
        tips = matrix_from_pose(message.pose)[:3, 3]
        expected = ISI_FROM_OPTICAL[:3, :3] @ (END + 0.0266 * AXIS)
        assert np.linalg.norm(tips - expected) < 2e-3
        [found] = [m for m in net.received['tool_poses'] if stamp_of(m) == stamp_of(message)]
        assert found.header.frame_id == f'{FRAME_ID}_isi'


def test_a_transform_that_never_comes_is_said(table, tool):
    with graph() as net:
        net.listen('tool_poses', TOPICS['tool_poses'])
        net.start('tool_pose_node', instruments=table, target_frame='base', transform_patience=0.0)
        refused(net, lambda: send(net, *tool), 'nothing connects the frames')
        assert not net.received['tool_poses']


def test_without_camera_info_there_is_no_pose(table, tool):
    with graph() as net:
        net.listen('tool_poses', TOPICS['tool_poses'])
        net.start('tool_pose_node', instruments=table)
        refused(net, lambda: send(net, *tool, info=False), 'no camera_info yet')
        assert not net.received['tool_poses']
