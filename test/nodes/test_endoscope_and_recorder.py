"""endoscope_node and recorder_node as real processes: what goes in comes out, and is on disk."""

import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import SECOND, Graph, graph, output, wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from synthetic_stereo import rectified_calibration, sloped_disparity, stereo_pair

from surgseg_ros.bags import BagReader, BagWriter
from surgseg_ros.bags.stereo_bag import StereoBag, write_frame
from surgseg_ros.frames.parts import Part
from surgseg_ros.frames.stereo_frame import GroundTruth, StereoFrame
from surgseg_ros.frames.tool_pose import ToolPose
from surgseg_ros.rosdata.images import decode_image
from surgseg_ros.rosdata.messages import instance_map, matrix_from_pose, stamp_of

HEIGHT, WIDTH, COUNT = 192, 256, 12
TRUTH = sloped_disparity(HEIGHT, WIDTH)
STAMPS = [SECOND + i * SECOND // 15 for i in range(COUNT)]


def frame(index: int) -> StereoFrame:
    left, right = stereo_pair(TRUTH, seed=index)
    slots = np.zeros((HEIGHT, WIDTH), np.uint8)
    slots[20:60, 30:90] = 1
    pose = np.eye(4)
    pose[:3, 3] = 0.01, 0.02, 0.08
    return StereoFrame(
        STAMPS[index],
        left,
        right,
        rectified_calibration(WIDTH, HEIGHT),
        truth=GroundTruth(
            TRUTH,
            np.where(slots, Part.SHAFT, 0).astype(np.uint8),
            slots,
            (ToolPose(1, pose, pose, jaw_angle=0.4, class_id=3, class_name='grasper'),),
        ),
    )


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'pairs.mcap'
    with BagWriter(path) as writer:
        for index in range(COUNT):
            write_frame(writer, frame(index))
    return path


@pytest.fixture
def net():
    with graph() as made:
        yield made


def start_stereo(net: Graph) -> None:
    net.start('stereo_node')
    net.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    wait_for(lambda: net.status('stereo'))


def test_lockstep_gives_one_output_per_pair_with_its_stamp(net, bag):
    start_stereo(net)
    replay = net.surgseg('replay', str(bag), '--lockstep')
    assert replay.wait(60) == 0, output(replay)
    wait_for(lambda: len(net.received['disparity']) == COUNT, 5, net.report)
    assert net.stamps('disparity') == STAMPS


def test_real_time_replay_at_a_rate_the_node_keeps_loses_nothing(net, bag):
    start_stereo(net)
    replay = net.surgseg('replay', str(bag), '--rate', '0.5')
    assert replay.wait(60) == 0, output(replay)
    values = net.fresh_values('stereo')
    assert net.stamps('disparity') == STAMPS, values
    assert values['paired'] == values['out'] == str(COUNT)


def test_loop_begins_again_and_clock_follows_the_stamps(net, bag):
    start_stereo(net)
    net.listen('/clock', 'rosgraph_msgs/msg/Clock')
    replay = net.surgseg('replay', str(bag), '--loop', '--clock')
    wait_for(lambda: len(net.received['disparity']) > 2 * COUNT, 60, net.report)
    wait_for(lambda: net.received['/clock'], 20, net.report)
    assert net.stop(replay) == 0
    assert int(net.fresh_values('stereo')['epochs']) >= 1
    first = net.received['/clock'][0].clock
    assert first.sec * SECOND + first.nanosec in STAMPS


def test_it_waits_for_the_left_image_alone_to_be_looked_at(net, bag):
    net.start('endoscope_node', source=str(bag), patience=60.0, rate=0.5)
    net.listen('left/image_rect', 'sensor_msgs/msg/Image')
    wait_for(lambda: len(net.received['left/image_rect']) == COUNT, 30, net.report)
    assert net.stamps('left/image_rect') == STAMPS


def test_virtual_arms_report_like_the_robots(net):
    """measured_cp of a PSM, in its own base frame, is the control point that the truth has."""
    pytest.importorskip('mujoco')
    words = 'sim:width=64,height=48,num_tools=1,rate=5.0,articulated=true,kinematics=exact'
    names = {
        '/PSM1/measured_cp': 'geometry_msgs/msg/PoseStamped',
        '/PSM1/measured_js': 'sensor_msgs/msg/JointState',
        '/PSM1/jaw/measured_js': 'sensor_msgs/msg/JointState',
        'ground_truth/PSM1/base_frame': 'geometry_msgs/msg/PoseStamped',
        'ground_truth/tool_poses': 'surgseg_ros/msg/ToolPoses',
    }
    for topic, type_name in names.items():
        net.listen(topic, type_name)

    def common() -> set[int]:
        return set.intersection(*(set(net.stamps(topic)) for topic in names))

    net.start('endoscope_node', source=words, subscribers=0)
    wait_for(common, 60, net.report)
    stamp = min(common())
    said = {topic: net.received[topic][net.stamps(topic).index(stamp)] for topic in names}
    measured, base = said['/PSM1/measured_cp'], said['ground_truth/PSM1/base_frame']
    assert measured.header.frame_id == 'PSM1_base'
    np.testing.assert_allclose(
        matrix_from_pose(base.pose) @ matrix_from_pose(measured.pose),
        matrix_from_pose(said['ground_truth/tool_poses'].tools[0].control_point.pose),
        atol=1e-9,
    )
    assert len(said['/PSM1/measured_js'].position) == 6
    angle = said['ground_truth/tool_poses'].tools[0].jaw_angle
    assert said['/PSM1/jaw/measured_js'].position[0] == pytest.approx(angle)


def test_ground_truth_is_published_and_read_by_its_installed_types(net, bag):
    """The second process that reads our messages is this one."""
    net.listen('ground_truth/instances', 'surgseg_ros/msg/InstrumentInstances')
    net.listen('ground_truth/tool_poses', 'surgseg_ros/msg/ToolPoses')
    net.listen('left/image_rect', 'sensor_msgs/msg/Image')
    replay = net.surgseg('replay', str(bag), '--loop')
    for topic in net.received:
        wait_for(lambda topic=topic: net.received[topic], what=topic)
    net.stop(replay)
    expected = frame(0)
    instances = net.received['ground_truth/instances'][0]
    np.testing.assert_array_equal(instance_map(instances), expected.truth.instances)
    tool = net.received['ground_truth/tool_poses'][0].tools[0]
    assert (tool.slot, tool.class_name, tool.jaw_angle) == (1, 'grasper', pytest.approx(0.4))
    np.testing.assert_allclose(
        matrix_from_pose(tool.control_point.pose), expected.truth.tools[0].control_point
    )
    image = net.received['left/image_rect'][0]
    index = STAMPS.index(stamp_of(image))
    np.testing.assert_array_equal(decode_image(image), frame(index).left)


@pytest.mark.parametrize(
    'source, words', [('/nowhere/a.mcap', 'there is no bag'), ('sim:colour=red', 'colour')]
)
def test_an_unusable_source_is_one_sentence_and_an_exit_code(net, source, words):
    replay = net.surgseg('replay', source)
    assert replay.wait(40) == 1, output(replay)
    assert words in output(replay)
    assert 'Traceback' not in output(replay)


def test_a_source_that_breaks_midway_says_so_and_fails(net, tmp_path):
    for side in ('left', 'right'):
        (tmp_path / side).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / side / f'{number}.png'), frame(number).left)
    (tmp_path / 'left' / '2.png').write_bytes(b'no picture')
    replay = net.surgseg('replay', str(tmp_path))
    assert replay.wait(40) == 1, output(replay)
    assert 'source failed after 2 frames' in output(replay)


def test_a_looped_picture_goes_on_in_time(net, tmp_path):
    with BagWriter(tmp_path / 'one.mcap') as writer:
        write_frame(writer, frame(0))
    start_stereo(net)
    replay = net.surgseg('replay', str(tmp_path / 'one.mcap'), '--loop')
    wait_for(lambda: len(net.received['disparity']) > 5, 60, net.report)
    net.stop(replay)
    stamps = net.stamps('disparity')
    assert stamps == sorted(set(stamps))


def test_lifecycle_rounds_leave_no_publishers_behind(net, bag):
    net.start('endoscope_node', autostart=False, source=str(bag), loop=True, clock=True)
    for _ in range(2):
        for transition in (
            Transition.TRANSITION_CONFIGURE,
            Transition.TRANSITION_ACTIVATE,
            Transition.TRANSITION_DEACTIVATE,
            Transition.TRANSITION_CLEANUP,
        ):
            request = Transition(id=transition)
            assert net.call(ChangeState, 'endoscope/change_state', transition=request).success
    for topic in ('/clock', '/endoscope/left/camera_info'):
        wait_for(lambda topic=topic: not net.node.get_publishers_info_by_topic(topic), what=topic)


def test_recording_holds_every_message_and_is_whole_after_ctrl_c(net, bag, tmp_path):
    topics = [
        'left/image_rect',
        'right/image_rect',
        'left/camera_info',
        'right/camera_info',
        'disparity',
    ]
    start_stereo(net)
    recorder = net.start('recorder_node', bag=str(tmp_path / 'out.mcap'), topics=topics)
    wait_for(lambda: net.status('recorder'))
    replay = net.surgseg('replay', str(bag), '--lockstep', '--subscribers', '2')
    assert replay.wait(60) == 0, output(replay)
    time.sleep(1)
    assert net.stop(recorder) == 0, output(recorder)
    with BagReader(tmp_path / 'out.mcap') as recorded:
        stamps = [stamp_of(m.message) for m in recorded.messages(['/endoscope/disparity'])]
    assert stamps == STAMPS
    with StereoBag(tmp_path / 'out.mcap') as recorded_frames:
        for recorded_frame in recorded_frames:
            index = STAMPS.index(recorded_frame.stamp)
            np.testing.assert_array_equal(recorded_frame.left, frame(index).left)


def test_a_killed_recorder_leaves_no_bag_that_looks_whole(net, bag, tmp_path):
    target = tmp_path / 'killed.mcap'
    recorder = net.start('recorder_node', bag=str(target), topics=['left/image_rect'])
    replay = net.surgseg('replay', str(bag), '--loop')
    wait_for(lambda: int(net.values('recorder').get('messages', 0)) > 3)
    net.stop(recorder, signal.SIGKILL)
    net.stop(replay)
    assert not target.exists()
    assert list(tmp_path.glob('killed.mcap.partial*'))


def test_recorder_without_anything_to_record_says_so(net):
    net.start('recorder_node')
    status = wait_for(lambda: net.status('recorder'))
    assert 'bag and topics' in status.message
