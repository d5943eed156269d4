"""Watch the diagnostics of running nodes from a program: progress, counts, readiness."""

import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from surgseg_ros.nodes.managed_node import RELIABLE
from surgseg_ros.nodes.messages import message_type
from surgseg_ros.processes.supervisor import Supervisor


class DiagnosticsMonitor:
    """Keeps the latest status of every node, in a thread and ROS context of its own.

    supervisor: of the processes whose nodes are watched.
    statuses: DiagnosticStatus by node name without the leading slash, e.g. 'endoscope/stereo'.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.statuses: dict[str, DiagnosticStatus] = {}
        self._context = Context()
        rclpy.init(args=[], context=self._context)  # the command line is not ROS's
        self._node = rclpy.create_node('monitor', context=self._context)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._take, 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='monitor', daemon=True)
        self._thread.start()

    def values(self, name: str) -> dict[str, str]:
        """Latest key-value pairs of a node; empty before its first report."""
        status = self.statuses.get(name)
        return {pair.key: pair.value for pair in status.values} if status else {}

    def listen(self, topic: str, type_name: str) -> None:
        """Subscribe and ignore what comes, so that it is computed."""
        self._node.create_subscription(
            message_type(type_name), topic, lambda _: None, RELIABLE, raw=True
        )

    def check(self) -> None:
        """Raise ValueError with what a node, or its process, says it failed of."""
        for name, status in self.statuses.copy().items():  # the thread adds to it
            if status.level == DiagnosticStatus.ERROR and not status.values:
                raise ValueError(f'{name}: {status.message}')
        self._supervisor.check()

    def wait(self, condition: Callable[[], object], what: str, timeout: float = 60.0) -> None:
        """Wait until condition(); ValueError if that takes longer than `timeout`, s, or a fault.

        what: the sentence before 'within ... s'.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise ValueError(f'{what} within {timeout:g} s')
            time.sleep(0.05)

    def await_active(self, *names: str, timeout: float = 60.0) -> None:
        """Wait until these nodes report that they run; ValueError with their fault if not."""
        for name in names:
            self.wait(partial(self.values, name), f'{name} did not start', timeout)

    def __enter__(self) -> 'DiagnosticsMonitor':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.try_shutdown()
        self._thread.join()

    def _take(self, array: DiagnosticArray) -> None:
        for status in array.status:
            self.statuses[status.name.removesuffix(': status')] = status

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()
