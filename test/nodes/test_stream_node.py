"""StreamNode in this process: what happens to a frame that is not simply computed."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from harness import FRAME_ID, wait_for
from rclpy.context import Context

from surgseg_ros.nodes import stream_node
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.stream import LEFT
from surgseg_ros.nodes.stream_frames import Arrival
from surgseg_ros.nodes.stream_node import StreamNode
from surgseg_ros.processes.domains import reserve_domain
from surgseg_ros.rosdata import messages


class HeldNode(StreamNode[None]):
    """Computes each frame until `release` is set, while somebody has `listened`."""

    INPUTS = (LEFT,)

    def __init__(self, **options):
        super().__init__('held', **options)
        self.started, self.release = threading.Event(), threading.Event()
        self.listened = True

    def wanted(self):
        return ['labels'] if self.listened else []

    def process(self, frame, wanted):
        self.started.set()
        self.release.wait(20)


@pytest.fixture
def node() -> Iterator[HeldNode]:
    with reserve_domain() as domain:
        context = Context()
        rclpy.init(context=context, domain_id=domain)
        made = HeldNode(context=context)
        made.trigger_configure()
        made.trigger_activate()
        yield made
        made.release.set()
        made.trigger_shutdown()
        made.destroy_node()
        context.try_shutdown()


def arrival(stamp: int) -> Arrival:
    header = messages.header(make_message, stamp, FRAME_ID)
    image = messages.image(make_message, header, np.zeros((4, 6, 3), np.uint8), 'rgb8')
    return Arrival(image, 0.0)


def test_a_computation_that_does_not_end_is_an_error(node, monkeypatch):
    monkeypatch.setattr(stream_node, 'STUCK', 0.2)
    node._worker.put((arrival(1),))
    assert node.started.wait(5)
    node._worker.put((arrival(2),))

    def said() -> str:
        level, message, _ = node.diagnose()
        return message if level == DiagnosticStatus.ERROR else ''

    wait_for(lambda: said().startswith('no output: one frame has been computed for'), 5)
    node.release.set()
    wait_for(lambda: not said(), 5)


def test_a_frame_whose_subscriber_left_while_it_waited_is_no_output(node):
    node._take_group(arrival(1))
    assert node.started.wait(5)
    node._take_group(arrival(2))
    node.listened = False
    node.release.set()
    wait_for(lambda: node.ledger.dropped['nobody subscribes'], 5)
    assert (node.ledger.pairs, node.ledger.out, node.ledger.dropped.total()) == (2, 1, 1)
