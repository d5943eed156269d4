"""What SIGINT and SIGTERM do: the first one ends the work in order, the second one at once."""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

ONE_SIGNAL = 0.1  # s; `timeout` sends one to the process and one to its group


def on_signal(stop: Callable[[int], None]) -> None:
    """Call stop(number) at the first SIGINT or SIGTERM; a second one ends this process at once.

    This also works if a background shell has left SIGINT ignored.
    """
    first: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None:
            first = now
            stop(number)
        elif now > first + ONE_SIGNAL:
            os._exit(128 + number)  # whatever line it hits: no traceback, no waiting

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
