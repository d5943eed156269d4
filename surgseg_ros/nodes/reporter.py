"""The diagnostics of one node, once a second, and its log when it fails or recovers."""

from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from surgseg_ros.frames.foreign import printable
from surgseg_ros.nodes.clocks import steady_timer

Status = tuple[bytes, str, Mapping[str, str]]  # level, one sentence, values


class Reporter:
    """Publishes what `status()` says on /diagnostics.

    has_begun: whether the node has had input. Problems before that are not logged as
    warnings, because in a healthy graph nodes wait for each other at the start.
    """

    def __init__(
        self, node: Node, status: Callable[[], Status], has_begun: Callable[[], bool]
    ) -> None:
        self._node, self._status, self._has_begun = node, status, has_begun
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._level = DiagnosticStatus.OK
        steady_timer(node, 1.0, self.publish)

    def publish(self) -> None:
        """Report now."""
        level, message, values = self._status()
        status = DiagnosticStatus(
            level=level,
            name=f'{self._node.get_fully_qualified_name()[1:]}: status',
            message=printable(message),
            hardware_id='surgseg_ros',
            values=[
                KeyValue(key=printable(key), value=printable(value))
                for key, value in values.items()
            ],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)
        told = level == DiagnosticStatus.ERROR and not values  # a failed transition logs itself
        if level != self._level and not told:
            self._log_change(level, message)
        self._level = level

    def _log_change(self, level: bytes, message: str) -> None:
        log = self._node.get_logger()
        if level == DiagnosticStatus.OK:
            log.info(printable(f'recovered: {message}'))
        elif self._has_begun():
            log.warning(printable(message))
        else:
            log.info(printable(message))
