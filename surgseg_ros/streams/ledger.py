"""What happened to every frame, and how long it took: exact counts, recent latencies."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping

import numpy as np

WINDOW = 5.0  # s over which a rate is taken
LIVE = 60.0  # s; with a greater age, stamps are not from the wall clock


def wall_clock_age(stamp: int, now: int) -> str:
    """Age of a stamp in s, both in ns; empty if the stamp is from another clock.

    This is so for stamps of recordings and of simulators.
    """
    age = (now - stamp) / 1e9
    return f'{age:.3f}' if abs(age) < LIVE else ''


class Ledger:
    """Thread-safe book of one node. At rest, pairs = out + dropped + rejected, each exactly.

    dropped: frames not computed on purpose, by reason (newer frame waiting, rate grid, nobody
    listens). rejected: frames that could not be computed, by kind of fault.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.pairs = 0
        self.out = 0
        self.dropped: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.last_reason = ''
        self._last_rejected = -float('inf')
        self._outputs: deque[float] = deque(maxlen=100)
        self._milliseconds: dict[str, deque[float]] = {}

    def count_pair(self) -> None:
        """A complete set of inputs has arrived."""
        with self._lock:
            self.pairs += 1

    def count_dropped(self, why: str) -> None:
        """A frame was left out on purpose."""
        with self._lock:
            self.dropped[why] += 1

    def count_rejected(self, kind: str, reason: str) -> None:
        """A frame was unusable; `reason` is the sentence for people."""
        with self._lock:
            self.rejected[kind] += 1
            self.last_reason = reason
            self._last_rejected = time.monotonic()

    def count_out(self, milliseconds: Mapping[str, float]) -> None:
        """Outputs were published; stages and 'age' (receipt to publish) in ms."""
        with self._lock:
            self.out += 1
            self._outputs.append(time.monotonic())
            for stage, value in milliseconds.items():
                self._milliseconds.setdefault(stage, deque(maxlen=300)).append(value)

    @property
    def seconds_since_rejection(self) -> float:
        """Time since the last unusable frame, s."""
        return time.monotonic() - self._last_rejected

    def rate(self) -> float:
        """Outputs per second over the last few seconds, of slow sources over the last two."""
        now = time.monotonic()
        with self._lock:
            outputs = list(self._outputs)
        recent = [moment for moment in outputs if moment > now - WINDOW]
        used = recent if len(recent) > 1 else outputs[-2:]
        if len(used) < 2:
            return 0.0
        interval = (used[-1] - used[0]) / (len(used) - 1)
        return 1 / interval if now - used[-1] < max(WINDOW, 3 * interval) else 0.0

    def headline(self) -> str:
        """Summarise in a few words, for the message of the diagnostics."""
        rate = self.rate()
        return f'{rate:.1f} Hz' if rate >= 0.05 else f'{self.out} out'

    def summary(self) -> dict[str, str]:
        """Everything as the key-value pairs of a DiagnosticStatus."""
        with self._lock:
            counts = {
                'paired': self.pairs,
                'out': self.out,
                'dropped': self.dropped.total(),
                'rejected': self.rejected.total(),
            }
            counts |= {f'dropped ({why})': n for why, n in sorted(self.dropped.items())}
            counts |= {f'rejected ({kind})': n for kind, n in sorted(self.rejected.items())}
            latencies = {
                f'{stage} p{q} [ms]': f'{np.percentile(list(values), q):.2f}'
                for stage, values in self._milliseconds.items()
                for q in (50, 99)
            }
        return (
            {key: str(value) for key, value in counts.items()}
            | latencies
            | {'rate [Hz]': f'{self.rate():.2f}', 'last reason': self.last_reason}
        )
