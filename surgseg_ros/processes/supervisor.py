"""Run the nodes of a pipeline as processes where launch is not installed; end them together."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import yaml

from surgseg_ros.frames.foreign import say
from surgseg_ros.media import children
from surgseg_ros.media.share import PACKAGE
from surgseg_ros.processes.pipelines import Pipeline, PipelineNode
from surgseg_ros.processes.shared_memory import remove_dead_segments

PATIENCE = 20.0  # s a process may take to end before it is killed
_KEPT_LINES = 2000  # of what a process prints


class Supervisor:
    """Starts nodes, prefixes what they print, and stops them all on exit; a context manager.

    environment: variables set for all of them, by default what makes large images fast.
    echo: whether what they print is shown; the newest lines are kept either way.
    processes: those not stopped yet, by name, in the order of their start.
    lines: the newest lines that each of them has printed, also after its end.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, echo: bool = True) -> None:
        self._environment = dict(environment or Pipeline.environment())
        self._echo = echo
        self.lines: dict[str, deque[str]] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, node: PipelineNode) -> 'subprocess.Popen[str]':
        """Start one node as a process of its own."""
        return self.run(node.name, command(node))

    def run(
        self, name: str, words: Sequence[str], more: Mapping[str, str] | None = None
    ) -> 'subprocess.Popen[str]':
        """Start a program; `name` must differ from those of all running processes.

        more: further variables of its environment.
        """
        if name in self.processes:
            raise ValueError(f'a process called {name} was started before')
        process = children.start(
            words,
            changes={**self._environment, **(more or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            own_session=True,  # Ctrl-C reaches us; we end them in order
        )
        self.processes[name] = process
        self.lines[name] = deque(maxlen=_KEPT_LINES)
        threading.Thread(target=self._collect, args=(name, process), daemon=True).start()
        return process

    def wait(self, check: Callable[[], object] = lambda: None) -> int:
        """Wait until any process has ended and return its exit code; check() may raise."""
        while True:
            for process in self.processes.values():
                if process.poll() is not None:
                    return process.returncode
            check()
            time.sleep(0.1)

    def check(self) -> None:
        """Raise ValueError if a process has failed."""
        for name, process in self.processes.items():
            if process.poll():
                raise ValueError(f'{name} ended with {process.returncode}, see its message above')

    def stop(self, name: str, how: int = signal.SIGINT) -> int:
        """Send a process this signal and return its exit code; kill it if it does not end."""
        self._signal(name, how)
        return self._await_end(name)

    def __enter__(self) -> 'Supervisor':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in self.processes:
            self._signal(name, signal.SIGINT)
        for name in list(self.processes):
            self._await_end(name)
        remove_dead_segments()  # of those that were killed

    def _signal(self, name: str, how: int) -> None:
        if self.processes[name].poll() is None:
            self.processes[name].send_signal(how)

    def _await_end(self, name: str) -> int:
        process = self.processes.pop(name)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(PATIENCE)
        say(f'{name} did not end within {PATIENCE:g} s and was killed', to=sys.stderr)
        process.kill()
        return process.wait()

    def _collect(self, name: str, process: 'subprocess.Popen[str]') -> None:
        assert process.stdout is not None
        lines = self.lines[name]
        for line in process.stdout:
            lines.append(line)
            if self._echo:
                say(f'[{name}] ' + line.removesuffix('\n'))


def command(node: PipelineNode) -> list[str]:
    """Return the command line of a node, with its parameters as ROS arguments."""
    program = (
        children.python('-m', f'{PACKAGE}.nodes.{node.executable}')
        if node.package == PACKAGE
        else [node.executable]
    )
    return [
        *program,
        *node.arguments,
        *ros_arguments(node.parameters, node.namespace, node.remaps),
    ]


def ros_arguments(
    parameters: Mapping[str, object], namespace: str = '', remaps: Mapping[str, str] | None = None
) -> Sequence[str]:
    """Format `--ros-args ...`; values are written as YAML, so that types survive."""
    words = ['--ros-args']
    if namespace:
        words += ['-r', f'__ns:=/{namespace.strip("/")}']
    for old, new in (remaps or {}).items():
        words += ['-r', f'{old}:={new}']
    for name, value in parameters.items():
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix('...\n')
        words += ['-p', f'{name}:={text.strip()}']
    return words
