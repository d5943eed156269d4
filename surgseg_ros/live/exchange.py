"""Measures whether images pass between two processes through DDS, and how long that takes.

python -m surgseg_ros.live.exchange
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Image

from surgseg_ros.media import children
from surgseg_ros.nodes import transport
from surgseg_ros.nodes.managed_node import NEWEST, RELIABLE

WIDTH, HEIGHT = 1280, 1024  # of one camera of a da Vinci Xi, rgb8: 3.9 MB
FRAMES, RATE = 20, 30.0
PATIENCE = 15.0  # s the sender waits for a subscriber


def receive(frames: int = FRAMES, best_effort: bool = False, tuned: bool = True) -> list[float]:
    """Have a process of its own send images; return the latency of each that arrived, ms.

    best_effort: subscribe as the nodes do. tuned: with the nodes' allocator setting.
    """
    topic = f'/surgseg_exchange_{os.getpid()}/image'
    words = ('-m', __spec__.name, '--send', topic, '--frames', str(frames))
    sender = children.start(children.python(*words, *([] if tuned else ['--untuned'])))
    latencies: list[float] = []

    def take(image: Image) -> None:
        sent = image.header.stamp.sec * 10**9 + image.header.stamp.nanosec
        latencies.append((time.monotonic_ns() - sent) / 1e6)  # one clock for all processes

    with _node('receiver', tuned) as node:
        node.create_subscription(Image, topic, take, NEWEST if best_effort else RELIABLE)
        while len(latencies) < frames and sender.poll() is None:
            rclpy.spin_once(node, timeout_sec=0.2)
        rclpy.spin_once(node, timeout_sec=0.2)
        sender.wait()  # if killed, it would leave its shared memory behind
    return latencies


def send(topic: str, frames: int, tuned: bool = True) -> None:
    """Publish images stamped with the monotonic clock as soon as somebody subscribes."""
    with _node('sender', tuned) as node:
        publisher = node.create_publisher(Image, topic, RELIABLE)
        image = Image(width=WIDTH, height=HEIGHT, encoding='rgb8', step=3 * WIDTH)
        image.data = bytes(3 * WIDTH * HEIGHT)
        deadline = time.monotonic() + PATIENCE
        while not publisher.get_subscription_count() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)  # the subscriber has to find us, too
        for _ in range(frames):
            sent = time.monotonic_ns()
            image.header.stamp.sec, image.header.stamp.nanosec = divmod(sent, 10**9)
            publisher.publish(image)
            time.sleep(1 / RATE)
        time.sleep(0.5)  # reliable: what was lost is sent again


@contextmanager
def _node(name: str, tuned: bool) -> Iterator[Node]:
    if tuned:
        transport.tune_allocator()
    rclpy.init(args=[])  # the command line is not ROS's
    node = rclpy.create_node(f'surgseg_exchange_{name}_{os.getpid()}')
    try:
        yield node
    finally:
        node.destroy_node()
        try_shutdown()


def main() -> None:
    """Print the measurement as JSON, or be its sender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--frames', type=int, default=FRAMES)
    parser.add_argument('--send', metavar='TOPIC', help='be the sender')
    parser.add_argument('--best-effort', action='store_true', help='subscribe as the nodes do')
    parser.add_argument('--untuned', action='store_true', help='leave the allocator as it is')
    args = parser.parse_args()
    if args.send:
        send(args.send, args.frames, not args.untuned)
        return
    latencies = receive(args.frames, args.best_effort, not args.untuned)
    median, p99 = np.percentile(latencies, (50, 99)).tolist() if latencies else (None, None)
    print(
        json.dumps(
            {'sent': args.frames, 'received': len(latencies), 'median_ms': median, 'p99_ms': p99}
        )
    )


if __name__ == '__main__':
    main()
