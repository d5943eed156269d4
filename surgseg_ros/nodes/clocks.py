"""Time in nodes: what watches runs on a steady clock, stamps are the source's."""

from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.timer import Timer

_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


def steady_timer(node: Node, period: float, callback: Callable[[], None]) -> Timer:
    """Make a timer, period in s, that also runs while /clock stands still."""
    return node.create_timer(period, callback, clock=_STEADY)


def clock_fault(node: Node) -> str:
    """Say so if the node waits for a /clock that does not come, or ''."""
    simulated = node.get_parameter('use_sim_time').value
    if not simulated or node.get_clock().now().nanoseconds:
        return ''
    return 'use_sim_time is set, but nobody publishes /clock'
