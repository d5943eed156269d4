"""What every predictor reports: the time of its stages."""

import time


class Stages:
    """milliseconds: of the stages done so far, by name; the first began with this object."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._start = time.perf_counter()

    def done(self, name: str) -> None:
        """End a stage; the next one begins."""
        now = time.perf_counter()
        self.milliseconds[name] = 1000 * (now - self._start)
        self._start = now
