"""Stamps for cameras that set none: the time of writing is used instead."""

REPEATS = 5  # equal stamps in a row; a frame sent again (endoscope_node's lockstep) gives fewer


class StandingStamps:
    """Gives the stamp of each message of one topic, ns; `standing` while the camera sets none.

    A stamp of 0, or one that repeats, is replaced by the time at which the message was written,
    which is the same in every reader: so outputs of different nodes still pair.
    """

    def __init__(self) -> None:
        self.standing = False
        self._last = -1
        self._repeated = 0

    def of(self, stamp: int, written: int) -> int:
        """Stamp to use for a message with this stamp, written at this time, ns (0 unknown)."""
        self._repeated = self._repeated + 1 if stamp == self._last else 0
        self._last = stamp
        self.standing = written > 0 and (stamp == 0 or self._repeated >= REPEATS)
        return written if self.standing else stamp
