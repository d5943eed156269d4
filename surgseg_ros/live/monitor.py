"""Watch the diagnostics of running nodes from a program: progress, counts, readiness."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from surgseg_ros.live.probe import PATIENCE, Probe, wait_until
from surgseg_ros.processes.supervisor import Supervisor

T = TypeVar('T')

_KEPT = 1000  # reports of a node


class DiagnosticsMonitor:
    """Keeps the reports of every node that the probe hears.

    supervisor: of the processes whose nodes are watched.
    reports: DiagnosticStatus by node name without the leading slash, e.g. 'endoscope/stereo',
    the newest last.
    """

    def __init__(self, supervisor: Supervisor, probe: Probe) -> None:
        self._supervisor = supervisor
        self.reports: dict[str, deque[DiagnosticStatus]] = {}
        self._counts: Counter[str] = Counter()
        kind = 'diagnostic_msgs/msg/DiagnosticArray'
        probe.listen('/diagnostics', kind, self._take, depth=50)

    def status(self, name: str) -> DiagnosticStatus | None:
        """Return the latest report of a node, None before its first."""
        reports = self.reports.get(name)
        return reports[-1] if reports else None

    def values(self, name: str) -> dict[str, str]:
        """Latest key-value pairs of a node; empty before its first report."""
        status = self.status(name)
        return {pair.key: pair.value for pair in status.values} if status else {}

    def fresh_values(self, name: str) -> dict[str, str]:
        """Key-value pairs of a report made after this call."""
        seen = self._counts[name]
        wait_until(lambda: self._counts[name] > seen + 1, f'{name} did not report')
        return self.values(name)

    def check(self, names: Sequence[str] | None = None) -> None:
        """Raise ValueError with the fault of a node of `names` (None: any) or of a process."""
        for name in list(self.reports) if names is None else names:  # the thread adds to it
            status = self.status(name)
            if status and status.level == DiagnosticStatus.ERROR and not status.values:
                raise ValueError(f'{name}: {status.message}')
        self._supervisor.check()

    def wait(self, condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
        """Wait until condition() and return it; ValueError after `timeout`, s, or at a fault.

        what: the sentence before 'within ... s'.
        """
        return wait_until(condition, what, timeout, self.check)

    def await_active(self, *names: str, timeout: float = PATIENCE) -> None:
        """Wait until these nodes report that they run; ValueError with their fault if not."""
        for name in names:
            self.wait(partial(self.values, name), f'{name} did not start', timeout)

    def _take(self, array: DiagnosticArray) -> None:
        for status in array.status:
            name = status.name.removesuffix(': status')
            self.reports.setdefault(name, deque(maxlen=_KEPT)).append(status)
            self._counts[name] += 1
