"""Pair left and right images of a recording by their stamps.

(Nodes cannot look ahead and use streams/pairing.py.)
"""

import math
from itertools import product
from typing import NamedTuple

from surgseg_ros.rosdata.factory import Message

_MAX_WAITING = 64  # images of one side kept while those of the other are missing


class Pair(NamedTuple):
    """Left and right message; the stamp, ns, is the left one's."""

    stamp: int
    left: Message
    right: Message


class StampPairing:
    """Each message is paired at most once, with the closest one of the other side.

    tolerance: ns by which the stamps of a pair may differ. A stamp that was paired before is
    ignored: a recording may hold a pair twice.
    """

    def __init__(self, tolerance: int) -> None:
        self._tolerance = tolerance
        self._waiting: dict[str, dict[int, Message]] = {'left': {}, 'right': {}}
        self._newest: dict[str, float] = {'left': -math.inf, 'right': -math.inf}
        self._paired: dict[str, set[int]] = {'left': set(), 'right': set()}

    def add(self, side: str, stamp: int, message: Message) -> list[Pair]:
        """Take a message of side 'left' or 'right'; return the pairs that are certain now."""
        if stamp in self._paired[side]:
            return []
        waiting = self._waiting[side]
        waiting[stamp] = message
        self._newest[side] = stamp
        pairs = self._take(min(self._newest.values()))
        while len(waiting) > _MAX_WAITING:
            del waiting[next(iter(waiting))]
        return pairs

    def finish(self) -> list[Pair]:
        """Return the remaining pairs, for which a closer message might still have come."""
        return self._take(math.inf)

    def least_difference(self) -> int | None:
        """ns between the closest of the messages that wait; None unless both sides have some."""
        return min((abs(left - right) for left, right in self._combinations()), default=None)

    def _combinations(self) -> list[tuple[int, int]]:
        return list(product(self._waiting['left'], self._waiting['right']))

    def _take(self, known: float) -> list[Pair]:
        """Pairs, closest first, except those for which a stamp after `known` may be closer."""
        seen: dict[str, set[int]] = {'left': set(), 'right': set()}
        pairs = []
        for left, right in sorted(self._combinations(), key=lambda both: abs(both[0] - both[1])):
            if abs(left - right) > self._tolerance:
                break
            if left in seen['left'] or right in seen['right']:
                continue
            seen['left'].add(left)
            seen['right'].add(right)
            if left == right or max(left, right) <= known:
                pairs.append(self._pop(left, right))
        return sorted(pairs, key=lambda pair: pair.stamp)

    def _pop(self, left: int, right: int) -> Pair:
        self._paired['left'].add(left)
        self._paired['right'].add(right)
        return Pair(left, self._waiting['left'].pop(left), self._waiting['right'].pop(right))
