"""Real nodes in real processes, watched and fed over real DDS."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.nodes.messages import make_message, message_type
from surgseg_ros.processes.domains import reserve_domain
from surgseg_ros.processes.pipelines import Pipeline, PipelineNode
from surgseg_ros.processes.supervisor import command, end_with_parent
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.messages import stamp_of

NAMESPACE = 'endoscope'
FRAME_ID = 'endoscope_left_optical'
SECOND = 1_000_000_000  # ns


def wait_for(condition: Callable[[], Any], timeout: float = 20.0, what: Any = '') -> Any:
    """Wait until `condition()` is truthy and return it; fail the test after `timeout` s."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f'waited {timeout} s for {what() if callable(what) else what}')
        time.sleep(0.02)
    return result


class Graph:
    """One DDS domain of its own: starts node processes, publishes to them, collects answers."""

    def __init__(self) -> None:
        self._reservation = reserve_domain()
        self.domain = self._reservation.__enter__()
        # Also for this process: the publisher's shared memory has to hold a frame, or images
        # travel as UDP fragments that a best-effort reader may lose.
        os.environ.update(Pipeline.environment(), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
        self.environment = {**os.environ, 'ROS_DOMAIN_ID': str(self.domain)}
        self.clock = iter(range(100 * SECOND, 10**6 * SECOND, SECOND))  # stamps to send
        self.processes: list[subprocess.Popen[str]] = []
        self.received: dict[str, list[Any]] = {}
        self.diagnostics: dict[str, list[DiagnosticStatus]] = {}
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._context = Context()
        rclpy.init(context=self._context, domain_id=self.domain)
        self.node = rclpy.create_node('tester', context=self._context, namespace=NAMESPACE)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnose, 50)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        try:
            for process in self.processes:
                self.stop(process)
        finally:
            self._leave()

    def _leave(self) -> None:
        for process in self.processes:
            process.kill()
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()
        self._reservation.__exit__(None, None, None)

    # Processes.

    def start(self, executable: str, **parameters: Any) -> subprocess.Popen[str]:
        node = PipelineNode(
            executable, executable.removesuffix('_node'), NAMESPACE, parameters=parameters
        )
        return self.run(command(node))

    def run(self, words: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,
        )
        self.processes.append(process)
        process.lines = []  # type: ignore[attr-defined]
        threading.Thread(target=_collect, args=(process,), daemon=True).start()
        return process

    def surgseg(self, *words: str) -> subprocess.Popen[str]:
        return self.run([sys.executable, '-m', 'surgseg_ros.cli', *words])

    def stop(self, process: subprocess.Popen[str], how: int = signal.SIGINT) -> int:
        if process.poll() is None:
            process.send_signal(how)
        return process.wait(20)

    # Messages.

    def listen(self, topic: str, type_name: str, latched: bool = False, depth: int = 200) -> None:
        kept = self.received.setdefault(topic, [])
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        self.node.create_subscription(
            message_type(type_name),
            topic,
            kept.append,
            QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability),
        )

    def publish(self, topic: str, message: Any) -> None:
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, 1)
            wait_for(
                lambda: self._publishers[topic].get_subscription_count(),
                what=f'a subscriber of {topic}',
            )
        self._publishers[topic].publish(message)

    def send_info(self, calibration: StereoCalibration) -> None:
        header = messages.header(make_message, 0, FRAME_ID)
        for side in ('left', 'right'):
            info = messages.camera_info(make_message, header, getattr(calibration, side))
            self.publish(f'{side}/camera_info', info)

    def send_image(
        self,
        stamp: int,
        pixels: np.ndarray,
        side: str = 'left',
        encoding: str = 'rgb8',
        frame_id: str = FRAME_ID,
        name: str = 'image_rect',
    ) -> None:
        header = messages.header(make_message, stamp, frame_id)
        self.publish(f'{side}/{name}', messages.image(make_message, header, pixels, encoding))

    def send_pair(self, stamp: int, left: np.ndarray, right: np.ndarray, **options: Any) -> None:
        for side, pixels in (('left', left), ('right', right)):
            self.send_image(stamp, pixels, side, **options)

    def connect(
        self,
        calibration: StereoCalibration,
        left: np.ndarray,
        right: np.ndarray,
        *nodes: str,
        **options: Any,
    ) -> Mapping[str, str]:
        """Send pairs until these nodes have one (stereo_node), then return the first's counts."""

        def send() -> None:
            self.send_info(calibration)
            self.send_pair(next(self.clock), left, right, **options)

        return self.connect_by(send, *nodes or ('stereo',))

    def connect_by(self, send: Callable[[], None], *nodes: str) -> Mapping[str, str]:
        """Send frames until all these nodes have one, then return the counts of the first.

        Our writers know the nodes' readers before these know us, so the first may be lost.
        """

        def paired() -> bool:
            send()
            time.sleep(0.1)
            return all(int(self.values(node).get('paired', 0)) > 0 for node in nodes)

        wait_for(paired, what=lambda: f'a first frame: {self.report()}')
        time.sleep(0.5)
        values = self.fresh_values(nodes[0])  # a second later: the last answer has come
        for kept in self.received.values():
            kept.clear()
        return values

    def answer(self, stamp: int, topic: str, timeout: float = 10.0) -> Any:
        """Wait for the output with this stamp."""

        def found() -> list[Any]:
            return [m for m in self.received[topic] if stamp_of(m) == stamp]

        return wait_for(found, timeout, lambda: f'{topic} of stamp {stamp}: {self.report()}')[0]

    def set_parameter(self, node: str, name: str, **value: Any) -> Any:
        """Set a parameter of a running node; return the result."""
        request = [Parameter(name=name, value=ParameterValue(**value))]
        return self.call(SetParameters, f'{node}/set_parameters', parameters=request).results[0]

    def stamps(self, topic: str) -> list[int]:
        return [stamp_of(message) for message in self.received[topic]]

    def status(self, node: str) -> DiagnosticStatus | None:
        statuses = self.diagnostics.get(f'{NAMESPACE}/{node}: status')
        return statuses[-1] if statuses else None

    def values(self, node: str) -> Mapping[str, str]:
        status = self.status(node)
        return {pair.key: pair.value for pair in status.values} if status else {}

    def report(self) -> str:
        """What the nodes say of themselves, for failed tests."""
        printed = '\n'.join(output(process) for process in self.processes)
        return f'{printed}\n{ {name: kept[-1] for name, kept in self.diagnostics.items()} }'

    def fresh_values(self, node: str) -> Mapping[str, str]:
        """Counts of a report made from now on."""
        seen = len(self.diagnostics.get(f'{NAMESPACE}/{node}: status', []))
        wait_for(
            lambda: len(self.diagnostics[f'{NAMESPACE}/{node}: status']) > seen + 1,
            what=f'a report of {node}',
        )
        return self.values(node)

    def call(self, kind: type, service: str, **fields: Any) -> Any:
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
            assert self._clients[service].wait_for_service(20)
            time.sleep(0.5)  # until the service knows where to send its answers
        client = self._clients[service]
        future = client.call_async(kind.Request(**fields))  # type: ignore[attr-defined]
        return wait_for(lambda: future.done() and future.result(), what=service)

    def _diagnose(self, array: DiagnosticArray) -> None:
        for status in array.status:
            self.diagnostics.setdefault(status.name, []).append(status)

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()


def output(process: subprocess.Popen[str]) -> str:
    """Everything a process has printed so far."""
    return ''.join(process.lines)  # type: ignore[attr-defined]


def _collect(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        process.lines.append(line)  # type: ignore[attr-defined]


@contextmanager
def graph() -> Iterator[Graph]:
    made = Graph()
    try:
        yield made
    finally:
        made.close()
