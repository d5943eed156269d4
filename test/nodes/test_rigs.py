"""Nodes on rigs of people: latched camera_info, stacked eyes, no stamps, wrong cables."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from harness import FRAME_ID, SECOND, Graph, graph, output, wait_for
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo
from synthetic_stereo import (
    raw_calibration,
    raw_views_of_plane,
    rectified_calibration,
    sloped_disparity,
    stereo_pair,
)

from surgseg_ros.bags import BagReader
from surgseg_ros.bags.stereo_bag import StereoBag
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.messages import disparity_from_message

HEIGHT, WIDTH = 128, 160
CALIBRATION = rectified_calibration(WIDTH, HEIGHT)
LEFT, RIGHT = stereo_pair(sloped_disparity(HEIGHT, WIDTH) / 2)
DISPARITY = 'stereo_msgs/msg/DisparityImage'


@pytest.fixture
def net():
    with graph() as made:
        yield made


def latch(net: Graph, calibration) -> list:
    """Publish both camera_info once, latched; the publishers have to be kept."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publishers = []
    for side in ('left', 'right'):
        header = messages.header(make_message, 1, FRAME_ID)
        info = messages.camera_info(make_message, header, getattr(calibration, side))
        publishers.append(net.node.create_publisher(CameraInfo, f'{side}/camera_info', latched))
        publishers[-1].publish(info)
    return publishers


def send_until(send: Callable[[], None], condition: Callable[[], object], net: Graph) -> object:
    def done() -> object:
        send()
        time.sleep(0.1)
        return condition()

    return wait_for(done, what=net.report)


def send_stacked(net: Graph, stamp: int, left, right, name: str = 'image_rect') -> None:
    net.send_image(stamp, np.hstack([left, right]), 'stereo', name=name)


def test_latched_camera_info_before_the_node_starts(net):
    kept = latch(net, CALIBRATION)
    net.start('stereo_node', max_disparity=32)
    net.listen('disparity', DISPARITY)
    send = lambda: net.send_pair(next(net.clock), LEFT, RIGHT)  # noqa: E731
    send_until(send, lambda: net.received['disparity'], net)
    assert net.received['disparity'][0].f == CALIBRATION.focal_length
    assert len(kept) == 2


def test_both_eyes_in_one_topic_rectified_in_the_node_and_recorded(net, tmp_path):
    """As dvrk_display publishes them; the raw recording gives the same when it is read back."""
    calibration = raw_calibration()
    left, right = raw_views_of_plane(calibration)
    kept = latch(net, calibration)
    net.start('stereo_node', max_disparity=96, stacking='horizontal', rectify=True)
    bag = tmp_path / 'raw.mcap'
    recorder = net.start(
        'recorder_node', bag=str(bag), topics=['stereo/image_raw', 'left/camera_info',
                                               'right/camera_info', 'disparity']
    )  # fmt: skip
    net.listen('disparity', DISPARITY)
    send = lambda: send_stacked(net, next(net.clock), left, right, 'image_raw')  # noqa: E731
    send_until(send, lambda: len(net.received['disparity']) >= 3, net)
    found = net.received['disparity'][-1]
    depth = found.f * found.t / np.nanmedian(disparity_from_message(found))
    assert depth == pytest.approx(0.08, rel=0.03) and len(kept) == 2
    assert net.stop(recorder) == 0
    with StereoBag(bag, stacking='horizontal') as frames:
        read = list(frames)
    np.testing.assert_array_equal(read[-1].right, right)
    assert read[-1].calibration.baseline == pytest.approx(calibration.baseline)
    with BagReader(bag) as reader:
        assert reader.topics['/endoscope/disparity'].message_count > 0


def test_outputs_of_a_camera_without_stamps_pair(net, weights):
    """The writer's times take the place of its stamps, the same in every node."""
    stereo = net.start('stereo_node', max_disparity=32)
    net.start('instance_node', weights=str(weights), image_width=WIDTH, image_height=HEIGHT)
    net.listen('disparity', DISPARITY)
    net.listen('instances', 'surgseg_ros/msg/InstrumentInstances')

    def send() -> None:
        net.send_info(CALIBRATION)
        net.send_pair(0, LEFT, RIGHT)

    def paired() -> set[int]:
        return set(net.stamps('disparity')) & set(net.stamps('instances'))

    common = send_until(send, lambda: len(paired()) >= 3 and paired(), net)
    now = time.time_ns()
    assert all(now - 600 * SECOND < stamp <= now for stamp in common)
    said = 'the header stamps on /endoscope/left/image_rect stand still'
    assert output(stereo).count(said) == 1


@pytest.fixture
def weights(tmp_path):
    """A small SOLO that has learned nothing, with a card."""
    pytest.importorskip('torch', reason='networks need torch')
    from golden_recipe import fill_network
    from safetensors.torch import save_file

    from surgseg_ros import networks
    from surgseg_ros.networks.card import Card

    options = {'num_classes': 2, 'width': 32, 'depth': 1, 'grids': (6, 5, 4, 3, 2)}
    network = fill_network(networks.create('solo_mobilenet', **options))
    names = ('background', 'grasper', 'scissors')
    card = Card('solo_mobilenet', options, names, {'input_size': [64, 96]})
    path = tmp_path / 'small.safetensors'
    save_file(network.state_dict(), path, metadata=card.metadata())
    return path


@pytest.mark.parametrize(
    'pair',
    [(RIGHT, LEFT), (LEFT, LEFT), (LEFT, np.ascontiguousarray(RIGHT[::-1, ::-1]))],
    ids=['exchanged', 'the same', 'upside down'],
)
def test_wrong_cables_are_said(net, pair):
    net.start('stereo_node', max_disparity=32)
    net.listen('disparity', DISPARITY)

    def send() -> None:
        net.send_info(CALIBRATION)
        net.send_pair(next(net.clock), *pair)

    def warned() -> bool:
        status = net.status('stereo')
        return (
            status is not None
            and status.level == DiagnosticStatus.WARN
            and 'are the eyes exchanged, the same, or one of them upside down?' in status.message
        )

    send_until(send, warned, net)
    assert float(net.values('stereo')['known pixels [%]']) < 20
    assert net.set_parameter('stereo', 'min_known', type=3, double_value=0.0).successful
    send_until(send, lambda: not warned(), net)


def test_a_clock_that_does_not_come(net, tmp_path):
    bag = tmp_path / 'out.mcap'
    recorder = net.start('recorder_node', bag=str(bag), topics=['text'], use_sim_time=True)
    status = wait_for(lambda: net.status('recorder'), what=lambda: output(recorder))
    wait_for(lambda: net.status('recorder').level == DiagnosticStatus.WARN, what=net.report)
    status = net.status('recorder')
    assert 'use_sim_time is set, but nobody publishes /clock' in status.message
    text = make_message('std_msgs/msg/String', data='here')
    send_until(
        lambda: net.publish('text', text), lambda: int(net.values('recorder')['messages']), net
    )
    assert net.stop(recorder) == 0
    with BagReader(bag) as reader:
        assert reader.end > 10**18 and reader.topics['/endoscope/text'].message_count > 0
