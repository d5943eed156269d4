"""A node of somebody else's: it takes disparity and instances, whoever publishes them."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_frames import fake_calibration
from harness import FRAME_ID, Graph, graph, wait_for

from surgseg_ros.nodes.messages import make_message
from surgseg_ros.rosdata import messages

HEIGHT, WIDTH = 48, 64
CALIBRATION = fake_calibration(WIDTH, HEIGHT)
TOY = Path(__file__).with_name('toy_node.py')


def test_the_toy_is_small():
    assert len(TOY.read_text().splitlines()) < 60


@pytest.fixture(scope='module')
def node():
    with graph() as made:
        made.run([sys.executable, str(TOY), '--ros-args', '-r', '__ns:=/endoscope'])
        made.listen('nearest', 'sensor_msgs/msg/Range')
        wait_for(lambda: made.status('toy'), 60, made.report)
        info = messages.camera_info(make_message, header(0), CALIBRATION.left)

        def publish() -> None:
            made.publish('left/camera_info', info)
            send(made, next(made.clock))

        made.connect_by(publish, 'toy')
        yield made


def header(stamp: int):
    return messages.header(make_message, stamp, FRAME_ID)


def send(node: Graph, stamp: int, disparity: float = 6.0, stddev: float | None = None) -> None:
    """A disparity with an instrument that covers its left half; the rest is twice as near."""
    values = np.full((HEIGHT, WIDTH), 2 * disparity, np.float32)
    values[:, : WIDTH // 2] = disparity
    send_disparity(node, stamp, values)
    if stddev is not None:
        image = np.full((HEIGHT, WIDTH), stddev, np.float32)
        message = messages.image(make_message, header(stamp), image, '32FC1')
        node.publish('disparity_stddev', message)
    send_instances(node, stamp)


def send_disparity(node: Graph, stamp: int, values: np.ndarray) -> None:
    message = messages.disparity_image(make_message, header(stamp), values, CALIBRATION)
    node.publish('disparity', message)


def send_instances(node: Graph, stamp: int) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 255
    one = messages.instrument_instance(make_message, mask, 1, 'hook')
    message = messages.instrument_instances(make_message, header(stamp), HEIGHT, WIDTH, [one])
    node.publish('instances', message)


def depth(disparity: float) -> float:
    return CALIBRATION.focal_length * CALIBRATION.baseline / disparity


def test_inputs_that_are_no_images_pair_by_their_stamps(node):
    stamp = next(node.clock)
    send(node, stamp)
    found = node.answer(stamp, 'nearest')
    assert found.range == pytest.approx(depth(6.0), rel=1e-6)
    assert found.header.frame_id == FRAME_ID


def test_an_input_without_its_partner_is_no_frame(node):
    before, stamp = int(node.fresh_values('toy')['paired']), next(node.clock)
    send_disparity(node, stamp, np.full((HEIGHT, WIDTH), 6.0, np.float32))
    send_instances(node, stamp + 1_000_000)  # a millisecond is another frame
    time.sleep(0.5)
    assert int(node.fresh_values('toy')['paired']) == before


def test_a_broken_message_is_refused_by_name_and_the_next_one_is_taken(node):
    stamp = next(node.clock)
    message = messages.disparity_image(
        make_message, header(stamp), np.ones((HEIGHT, WIDTH), np.float32), CALIBRATION
    )
    message.image.data = message.image.data[:100]
    node.publish('disparity', message)
    send_instances(node, stamp)
    wait_for(lambda: node.status('toy').message.startswith('disparity: '), 20, node.report)
    stamp = next(node.clock)
    send(node, stamp)
    node.answer(stamp, 'nearest')


def test_an_optional_input_is_used_where_it_is_offered(node):
    def variance(stddev: float | None) -> float:
        stamp = next(node.clock)
        send(node, stamp, stddev=stddev)
        return node.answer(stamp, 'nearest').variance

    wait_for(lambda: variance(0.5) == pytest.approx(0.5))  # the first may precede discovery
    assert variance(0.5) == pytest.approx(0.5)

    def ended() -> bool:  # frames wait for it, until those that come without it say that it ended
        send(node, next(node.clock))
        time.sleep(0.05)
        return node.received['nearest'][-1].variance == -1.0

    wait_for(ended)


def test_counts_are_exact(node):
    values = node.fresh_values('toy')
    counts = {name: int(values[name]) for name in ('paired', 'out', 'dropped', 'rejected')}
    assert counts['paired'] == counts['out'] + counts['dropped'] + counts['rejected'] > 0
    assert {'disparity received', 'instances received', 'disparity_stddev received'} <= set(values)
