"""One thread that computes, fed by a slot that holds only the newest work."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar('T')


class NewestWorker(Generic[T]):
    """Calls `compute(work)` in its own thread, always with the newest work.

    Work that is replaced while it waits goes to `superseded(work)`; so nothing queues up, and an
    output is never older than one frame plus one computation. `compute` must not raise.
    """

    def __init__(self, compute: Callable[[T], object], superseded: Callable[[T], object]) -> None:
        self._compute = compute
        self._superseded = superseded
        self._condition = threading.Condition()
        self._work: T | None = None
        self._stopping = False
        self._began: float | None = None  # the running computation, monotonic s
        self._thread = threading.Thread(target=self._run, name='worker', daemon=True)
        self._thread.start()

    def put(self, work: T) -> None:
        """Hand over work; replaces what has not been started."""
        with self._condition:
            replaced, self._work = self._work, work
            self._condition.notify()
        if replaced is not None:
            self._superseded(replaced)

    @property
    def busy_seconds(self) -> float:
        """For how long the running computation has lasted, s; 0 when there is none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def stop(self) -> None:
        """Finish the running computation and end the thread; waiting work is superseded."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join()
        if self._work is not None:
            self._superseded(self._work)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._stopping or self._work is not None)
                if self._stopping or self._work is None:
                    return
                work, self._work = self._work, None
            self._began = time.monotonic()
            self._compute(work)
            self._began = None
