"""Whether images arrive and pair, in sentences and counts for the diagnostics."""

import time
from collections.abc import Mapping

from surgseg_ros.streams.pairing import StampPairer

SILENCE = 1.0  # s without images from an eye: ERROR ...
PATIENCE = 5.0  # ... but this long after the start


class InputHealth:
    """Watches the inputs of one node since it became active.

    pairer: counts what arrived. topics: of the required inputs, by side. what: one of them is.
    """

    def __init__(
        self, pairer: StampPairer, topics: Mapping[str, str], what: str = 'image'
    ) -> None:
        self._pairer, self._topics, self._what = pairer, topics, what
        self._start = time.monotonic()
        self._heard: dict[str, float] = {}
        self._seen_before = (0, 0)

    def hear(self, side: str) -> None:
        """Note that an image of this side has arrived."""
        self._heard[side] = time.monotonic()

    def fault(self) -> str:
        """Say what has been wrong with the input since the last call, or ''."""
        return self._silence() or self._no_pairs()

    def counts(self) -> dict[str, str]:
        """Counts per side, and how often time began anew."""
        pairer = self._pairer
        counts = {'epochs': str(pairer.epochs)}
        for side in pairer.sides:
            counts[f'{side} received'] = str(pairer.received[side])
            counts[f'{side} unpaired'] = str(pairer.unpaired[side])
            counts[f'{side} out of order'] = str(pairer.out_of_order[side])
        return counts

    def _silence(self) -> str:
        """Name the eyes that have sent nothing lately, or ''."""
        now = time.monotonic()
        silent = [
            topic
            for side, topic in self._topics.items()
            if now - self._heard.get(side, self._start + PATIENCE) > SILENCE
        ]
        return f'no {self._what} on {" and ".join(silent)}' if silent else ''

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
