"""Runs a graph of processes in a ROS domain of its own, observes it and ends it.

with LiveGraph() as graph:
    graph.start('stereo_node', model='sgbm')
    disparities = graph.collect('disparity', 'stereo_msgs/msg/DisparityImage')
    graph.await_active('stereo')
    graph.feed.send_pair(stamp, left, right)
    graph.wait(lambda: disparities, 'no disparity came')
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from subprocess import Popen
from types import TracebackType
from typing import TypeVar

from surgseg_ros.live.feed import Feed
from surgseg_ros.live.monitor import DiagnosticsMonitor
from surgseg_ros.live.probe import PATIENCE, Probe
from surgseg_ros.processes.domains import own_domain
from surgseg_ros.processes.pipelines import Pipeline, PipelineNode
from surgseg_ros.processes.supervisor import Supervisor
from surgseg_ros.rosdata.factory import Message

T = TypeVar('T')

NAMESPACE = 'endoscope'
SETTLING = 2.5  # s: the last outputs, and a report that counts them


class LiveGraph:
    """Nodes as processes in a domain of their own, watched and fed; a context manager.

    namespace: of the nodes, and of the topics that are listened to. echo: whether what they print
    is shown. domain: ROS_DOMAIN_ID while it runs. supervisor, probe, monitor, feed: its parts.
    """

    domain: int
    supervisor: Supervisor
    probe: Probe
    monitor: DiagnosticsMonitor
    feed: Feed

    def __init__(self, namespace: str = NAMESPACE, echo: bool = True) -> None:
        self.namespace = namespace
        self._echo = echo
        self._stack = ExitStack()

    def __enter__(self) -> 'LiveGraph':
        with self._stack:
            self.domain = self._stack.enter_context(own_domain())
            # Also for this process: its shared memory has to hold an image that it publishes.
            os.environ.update(Pipeline.environment())
            self.supervisor = Supervisor(echo=self._echo)
            self.probe = self._stack.enter_context(Probe(namespace=self.namespace))
            self._stack.enter_context(self.supervisor)
            self.monitor = DiagnosticsMonitor(self.supervisor, self.probe)
            self.feed = Feed(self.probe)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def start(self, executable: str, name: str = '', **parameters: object) -> 'Popen[str]':
        """Start a node of this package; its name is by default the executable's without _node."""
        name = name or executable.removesuffix('_node')
        return self.add(PipelineNode(executable, name, self.namespace, parameters=parameters))

    def add(self, node: PipelineNode) -> 'Popen[str]':
        """Start a node of a pipeline."""
        return self.supervisor.start(node)

    def stop(self, name: str, how: int = signal.SIGINT) -> int:
        """End a node and return its exit code."""
        return self.supervisor.stop(name, how)

    def await_active(self, *names: str, timeout: float = PATIENCE) -> None:
        """Wait until these nodes run; ValueError with the fault of one that cannot."""
        self.monitor.await_active(*map(self._full, names), timeout=timeout)

    def wait(self, condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
        """Wait until condition() and return it; ValueError after `timeout`, s, or at a fault."""
        return self.monitor.wait(condition, what, timeout)

    def collect(self, topic: str, type_name: str, latched: bool = False) -> list[Message]:
        """Return a list that every message of a topic is appended to from now on."""
        collected: list[Message] = []
        self.probe.listen(topic, type_name, collected.append, latched=latched)
        return collected

    def subscribe(self, topic: str, type_name: str) -> None:
        """Subscribe and ignore what comes, so that it is computed."""
        self.probe.listen(topic, type_name, depth=1, raw=True)

    def values(self, name: str) -> dict[str, str]:
        """Counts and latencies of a node's latest report; empty before the first."""
        return self.monitor.values(self._full(name))

    def play(self, source: PipelineNode, progress: Callable[[int], object]) -> None:
        """Run a source of frames until it ends and the results of its last frame are counted.

        progress: called with how many frames have been sent. ValueError for what fails meanwhile.
        """
        process = self.add(source)
        while process.poll() is None:
            progress(int(self.values(source.name).get('sent', 0)))
            self.monitor.check()
            time.sleep(0.2)
        self.settle()

    def settle(self) -> None:
        """Wait for the last outputs and reports that count them; ValueError if a node failed."""
        self.monitor.check()
        time.sleep(SETTLING)
        self.monitor.check()

    def _full(self, name: str) -> str:
        return f'{self.namespace}/{name}'
