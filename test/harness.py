"""Real nodes in real processes, watched and fed over real DDS: live.graph for tests."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.live.feed import FRAME_ID as FRAME_ID  # for tests
from surgseg_ros.live.graph import NAMESPACE, LiveGraph
from surgseg_ros.live.probe import wait_until
from surgseg_ros.media import children
from surgseg_ros.processes.pipelines import PipelineNode
from surgseg_ros.processes.supervisor import command
from surgseg_ros.rosdata.messages import stamp_of

SECOND = 1_000_000_000  # ns
# Whoever waits longer than this waits in vain: a machine may be ten times slower than ours.
DEADLINE = 240.0  # s


def wait_for(condition: Callable[[], Any], timeout: float = DEADLINE, what: Any = '') -> Any:
    """Wait until `condition()` is truthy and return it; fail the test after `timeout` s."""
    try:
        return wait_until(condition, 'it did not come', timeout)
    except ValueError:
        pytest.fail(f'waited {timeout} s for {what() if callable(what) else what}')


class Graph:
    """A LiveGraph for a test: a wait that is in vain fails it with what the nodes say."""

    def __init__(self, live: LiveGraph) -> None:
        self.live = live
        self.node, self.domain = live.probe.node, live.domain
        self.environment: dict[str, str] = {}  # more of it, for processes started from now on
        self.clock = iter(range(100 * SECOND, 10**6 * SECOND, SECOND))  # stamps to send
        self.processes: list[Popen[str]] = []
        self.received: dict[str, list[Any]] = {}
        self.send_info, self.send_image = live.feed.send_info, live.feed.send_image
        self.send_pair, self.publish = live.feed.send_pair, live.probe.publish
        self.call = live.probe.call

    # Processes.

    def start(self, executable: str, **parameters: Any) -> Popen[str]:
        name = executable.removesuffix('_node')
        return self.run(command(PipelineNode(executable, name, NAMESPACE, parameters=parameters)))

    def surgseg(self, *words: str) -> Popen[str]:
        return self.run(children.python('-m', 'surgseg_ros.cli', *words))

    def run(self, words: list[str]) -> Popen[str]:
        supervisor, name = self.live.supervisor, str(len(self.processes))
        process = supervisor.run(name, words, self.environment)
        process.lines = supervisor.lines[name]  # type: ignore[attr-defined]
        self.processes.append(process)
        return process

    def stop(self, process: Popen[str], how: int = signal.SIGINT) -> int:
        name = str(self.processes.index(process))
        if name in self.live.supervisor.processes:
            return self.live.stop(name, how)
        return process.wait(DEADLINE)  # was stopped before

    # Messages.

    def listen(self, topic: str, type_name: str, latched: bool = False, depth: int = 200) -> None:
        kept = self.received.setdefault(topic, [])
        self.live.probe.listen(topic, type_name, kept.append, latched=latched, depth=depth)

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

        Our writers know the nodes' readers before these know us, so the first may be lost. What
        was sent is settled before this returns: computed, dropped or rejected.
        """

        def paired() -> bool:
            send()
            time.sleep(0.1)
            return all(int(self.values(node).get('paired', 0)) > 0 for node in nodes)

        wait_for(paired, what=lambda: f'a first frame: {self.report()}')
        values = [self.settled(node) for node in nodes][0]
        for kept in self.received.values():
            kept.clear()
        return values

    def settled(self, node: str) -> Mapping[str, str]:
        """Counts of a node once two reports in a row agree and all its pairs are accounted for."""

        def rest() -> Mapping[str, str]:
            before, after = self.values(node), self.fresh_values(node)
            done = sum(int(after[name]) for name in ('out', 'dropped', 'rejected'))
            same = all(before.get(key) == after[key] for key in _COUNTS if key in after)
            return after if same and done == int(after['paired']) else {}

        return wait_for(rest, what=lambda: f'{node} at rest: {self.report()}')

    def answer(self, stamp: int, topic: str, timeout: float = DEADLINE) -> Any:
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

    # Diagnostics.

    def status(self, node: str) -> DiagnosticStatus | None:
        return self.live.monitor.status(f'{NAMESPACE}/{node}')

    def values(self, node: str) -> Mapping[str, str]:
        return self.live.values(node)

    def fresh_values(self, node: str) -> Mapping[str, str]:
        """Counts of a report made from now on."""
        return self.live.monitor.fresh_values(f'{NAMESPACE}/{node}')

    def report(self) -> str:
        """What the nodes say of themselves, for failed tests."""
        printed = '\n'.join(output(process) for process in self.processes)
        reports = self.live.monitor.reports
        return f'{printed}\n{ {name: kept[-1] for name, kept in list(reports.items())} }'


# that a frame on its way changes
_COUNTS = ('paired', 'out', 'dropped', 'rejected', 'left received', 'right received')


def output(process: Popen[str]) -> str:
    """Everything a process has printed so far."""
    return ''.join(list(process.lines))  # type: ignore[attr-defined]


@contextmanager
def graph() -> Iterator[Graph]:
    """Yield a graph without nodes in a domain of its own."""
    with LiveGraph(echo=False) as live:
        yield Graph(live)
