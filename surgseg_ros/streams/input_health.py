"""Whether images arrive and pair, in sentences and counts for the diagnostics."""

import time
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

from surgseg_ros.streams.pairing import StampPairer

SILENCE = 1.0  # s without images from one camera, or SLOW times its usual interval: ERROR ...
SLOW = 3.0
PATIENCE = 5.0  # ... but this long after the start, and until an interval is known
_KEPT = 5  # intervals, whose median is the usual one


class InputHealth:
    """Watches the inputs of one node since it became active.

    pairer: counts what arrived. topics: of the required inputs, by side. what: name of one item,
    such as 'image'.
    """

    def __init__(
        self, pairer: StampPairer[Any], topics: Mapping[str, str], what: str = 'image'
    ) -> None:
        self._pairer, self._topics, self._what = pairer, topics, what
        self._start = time.monotonic()
        self._heard: dict[str, float] = {}
        self._intervals: dict[str, deque[float]] = {}
        self._seen_before = (0, 0)

    def hear(self, side: str) -> None:
        """Note that an image of this side has arrived."""
        now = time.monotonic()
        if side in self._heard:
            intervals = self._intervals.setdefault(side, deque(maxlen=_KEPT))
            intervals.append(now - self._heard[side])
        self._heard[side] = now

    @property
    def begun(self) -> bool:
        """Whether anything has arrived yet."""
        return bool(self._heard)

    def fault(self) -> str:
        """Say what has been wrong with the input since the last call, or ''."""
        return self._silence() or self._no_pairs()

    def counts(self) -> dict[str, str]:
        """Counts per side, and the number of new epochs."""
        pairer = self._pairer
        counts = {'epochs': str(pairer.epochs)}
        for side in pairer.sides:
            counts[f'{side} received'] = str(pairer.received[side])
            counts[f'{side} unpaired'] = str(pairer.unpaired[side])
            counts[f'{side} out of order'] = str(pairer.out_of_order[side])
        return counts

    def _silence(self) -> str:
        """Name the sides that have sent nothing recently, or ''."""
        now = time.monotonic()
        silent = [
            topic
            for side, topic in self._topics.items()
            if now - self._heard.get(side, self._start) > self._longest_pause(side)
        ]
        return f'no {self._what} on {" and ".join(dict.fromkeys(silent))}' if silent else ''

    def _longest_pause(self, side: str) -> float:
        """How long this side may be silent, s; a source that sends one image in 2 s is healthy."""
        intervals = self._intervals.get(side)
        return max(SILENCE, SLOW * median(intervals)) if intervals else PATIENCE + SILENCE

    def _no_pairs(self) -> str:
        """Say so if images have gone by without a single pair since the last report."""
        pairer = self._pairer
        gone = min(pairer.unpaired[side] + pairer.out_of_order[side] for side in pairer.required)
        (gone_before, paired_before), self._seen_before = self._seen_before, (gone, pairer.paired)
        if gone == gone_before or pairer.paired > paired_before:
            return ''
        if len(pairer.required) == 1:
            return f'{self._what}s arrive, but their stamps go back'
        return (
            f'{" and ".join(pairer.required)} arrive but do not pair: their newest stamps are '
            f'{pairer.difference / 1e6:.1f} ms apart, allowed are '
            f'{pairer.tolerance / 1e6:.1f} ms'
        )
