"""Run the nodes of a pipeline as processes where launch is not installed; end them together."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TextIO

import yaml

from surgseg_ros.media.share import PACKAGE
from surgseg_ros.processes.pipelines import Pipeline, PipelineNode

PATIENCE = 10.0  # s a process may take to end before it is killed


class Supervisor:
    """Starts nodes, prefixes what they print, and stops them all on exit; a context manager."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, **(environment or Pipeline.environment())}
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, node: PipelineNode) -> subprocess.Popen[str]:
        """Start one node as a process of its own."""
        process = subprocess.Popen(
            command(node),
            env=self._environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors='replace',
            start_new_session=True,  # Ctrl-C reaches us; we end them in order
            preexec_fn=end_with_parent,
        )
        self.processes[node.name] = process
        threading.Thread(target=_echo, args=(node.name, process.stdout), daemon=True).start()
        return process

    def wait(self, name: str | None = None) -> int:
        """Wait until `name`, or any process, has ended; return its exit code."""
        while True:
            watched = [self.processes[name]] if name else list(self.processes.values())
            for process in watched:
                if process.poll() is not None:
                    return process.returncode
            time.sleep(0.1)

    def check(self) -> None:
        """Raise ValueError if a process has failed."""
        for name, process in self.processes.items():
            if process.poll():
                raise ValueError(f'{name} ended with {process.returncode}, see its message above')

    def stop(self, name: str) -> int:
        """Interrupt one process and return its exit code; kill it if it does not end."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(PATIENCE)
        print(f'{name} did not end within {PATIENCE:g} s and was killed', file=sys.stderr)
        process.kill()
        return process.wait()

    def __enter__(self) -> 'Supervisor':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for name in list(self.processes):
            self.stop(name)


def command(node: PipelineNode) -> list[str]:
    """Return the command line of a node, with its parameters as ROS arguments."""
    program = (
        [sys.executable, '-m', f'{PACKAGE}.nodes.{node.executable}']
        if node.package == PACKAGE
        else [node.executable]
    )
    return [
        *program,
        *node.arguments,
        *ros_arguments(node.parameters, node.namespace, node.remaps),
    ]


def ros_arguments(
    parameters: Mapping[str, Any], namespace: str = '', remaps: Mapping[str, str] | None = None
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


def end_with_parent() -> None:
    """Ask Linux to interrupt this process when its parent dies, even by SIGKILL."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)


def _echo(name: str, stream: TextIO | None) -> None:
    assert stream is not None
    for line in stream:
        print(f'[{name}] {line}', end='', flush=True)
