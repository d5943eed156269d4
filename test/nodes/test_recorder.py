"""recorder_node where things go wrong: it records what it can and says what it cannot."""

import os
import resource
import time
from pathlib import Path
from subprocess import Popen

import pytest
from harness import Graph, graph, output, wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy

from surgseg_ros.bags import BagReader
from surgseg_ros.nodes.messages import make_message

STRING, BOX = 'std_msgs/msg/String', 'vision_msgs/msg/Point2D'
BEST_EFFORT = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def net():
    with graph() as made:
        yield made


def start(net: Graph, bag: Path, *topics: str) -> Popen[str]:
    recorder = net.start('recorder_node', bag=str(bag), topics=list(topics))
    wait_for(lambda: 'messages' in net.values('recorder'), what=lambda: output(recorder))
    return recorder


def announce(net: Graph, topic: str, kind: str = STRING, qos: QoSProfile | int = 50) -> Publisher:
    publisher = net.node.create_publisher(type(make_message(kind)), topic, qos)
    wait_for(publisher.get_subscription_count, what=lambda: net.report())
    time.sleep(0.3)  # the recorder has to know us, too
    return publisher


def say(publisher: Publisher, *words: str) -> None:
    for word in words:
        publisher.publish(make_message(STRING, data=word))
        time.sleep(0.02)


def heard(bag: Path, topic: str) -> list[str]:
    with BagReader(bag) as reader:
        return [item.message.data for item in reader.messages([f'/endoscope/{topic}'])]


def change(net: Graph, transition: int) -> None:
    answer = net.call(ChangeState, 'recorder/change_state', transition=Transition(id=transition))
    assert answer.success, net.report()


def test_best_effort_publishers_are_recorded_and_reliable_ones_reliably(net, tmp_path):
    recorder = start(net, tmp_path / 'out.mcap', 'camera', 'tracker')
    camera = announce(net, 'camera', qos=BEST_EFFORT)
    tracker = announce(net, 'tracker')
    say(camera, 'a', 'b')
    say(tracker, 'c')
    wanted = {
        topic: [
            end.qos_profile.reliability
            for end in net.node.get_subscriptions_info_by_topic(f'/endoscope/{topic}')
        ]
        for topic in ('camera', 'tracker')
    }
    assert wanted == {
        'camera': [ReliabilityPolicy.BEST_EFFORT],
        'tracker': [ReliabilityPolicy.RELIABLE],
    }
    time.sleep(0.3)
    assert net.stop(recorder) == 0, output(recorder)
    assert heard(tmp_path / 'out.mcap', 'camera') == ['a', 'b']
    assert heard(tmp_path / 'out.mcap', 'tracker') == ['c']


def test_a_pause_leaves_one_bag_without_what_came_meanwhile(net, tmp_path):
    recorder = start(net, tmp_path / 'out.mcap', 'notes')
    notes = announce(net, 'notes')
    say(notes, 'before')
    time.sleep(0.3)
    change(net, Transition.TRANSITION_DEACTIVATE)
    wait_for(lambda: not notes.get_subscription_count())
    say(notes, 'meanwhile')
    change(net, Transition.TRANSITION_ACTIVATE)
    wait_for(notes.get_subscription_count, what=net.report)
    time.sleep(0.3)
    say(notes, 'after')
    time.sleep(0.3)
    assert net.stop(recorder) == 0, output(recorder)
    assert heard(tmp_path / 'out.mcap', 'notes') == ['before', 'after']


def test_a_type_that_is_not_installed_is_named_and_the_rest_recorded(net, tmp_path):
    (tmp_path / 'vision_msgs.py').write_text('raise ImportError("vision_msgs is elsewhere")')
    net.environment['PYTHONPATH'] = str(tmp_path)
    recorder = start(net, tmp_path / 'out.mcap', 'boxes', 'notes')
    net.node.create_publisher(type(make_message(BOX)), 'boxes', 10)
    status = wait_for(
        lambda: net.status('recorder').level == b'\x02' and net.status('recorder'), what=net.report
    )
    assert status.message == '/endoscope/boxes is not recorded: vision_msgs is elsewhere'
    say(announce(net, 'notes'), 'a', 'b')
    time.sleep(0.3)
    assert net.stop(recorder) == 1
    assert output(recorder).count('/endoscope/boxes is not recorded') == 1, output(recorder)
    assert 'Traceback' not in output(recorder)
    with BagReader(tmp_path / 'out.mcap') as reader:
        assert list(reader.topics) == ['/endoscope/notes']
    assert heard(tmp_path / 'out.mcap', 'notes') == ['a', 'b']


def test_a_full_disk_ends_the_recording_in_one_sentence(net, tmp_path):
    recorder = start(net, tmp_path / 'out.mcap', 'notes')
    notes = announce(net, 'notes')
    resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
    say(notes, *[os.urandom(400_000).hex() for _ in range(8)])  # chunks are compressed
    status = wait_for(
        lambda: net.status('recorder').level == b'\x02' and net.status('recorder'), what=net.report
    )
    assert 'out.mcap cannot be written: File too large' in status.message
    assert recorder.poll() is None
    wait_for(lambda: not notes.get_subscription_count())
    assert net.stop(recorder) == 1
    assert output(recorder).count('\n') == 1, output(recorder)
    assert not (tmp_path / 'out.mcap').exists()
    assert list(tmp_path.glob('out.mcap.partial*'))
