"""The one thread of a process that makes, keeps and drops its backends.

OpenVINO gives the thread that loads it a stack of its own for signal handlers (sigaltstack), and
unmaps that stack when the last of its objects is dropped, in whatever thread that happens. Dropped
in another thread, the next signal of the first one is a segmentation fault. So all that a backend
holds is made and dropped here, by a thread that handles no signals; any thread may run it.
"""

import atexit
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

from surgseg_ros.backends.model import Backend

T = TypeVar('T')
Job = Callable[[], None]


class _Owner:
    """A daemon thread, started by its first job and ended with the interpreter.

    Its queue is a SimpleQueue because the garbage collector puts jobs into it, at any moment.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def call(self, function: Callable[[], T]) -> T:
        """Call in the thread; returns or raises what the function does."""
        self._start()
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(job)
        return future.result()

    def later(self, job: Job) -> None:
        """Do a job in the thread, without waiting for it."""
        self._jobs.put(job)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name='backends', daemon=True)
                self._thread.start()
                atexit.register(self._stop)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # what it holds

    def _stop(self) -> None:
        """Finish what is being made: native code must not outlive the interpreter."""
        assert self._thread is not None
        self._jobs.put(None)
        self._thread.join()


_OWNER = _Owner()


def call(function: Callable[[], T]) -> T:
    """Call a function in the thread that owns the backends; see the head of this file."""
    return _OWNER.call(function)


class OwnedBackend:
    """A backend that the owning thread makes at once, and drops when this object is dropped."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._held = _OWNER.call(lambda: [make()])  # its only reference, so emptying it drops it
        weakref.finalize(self, _OWNER.later, self._held.clear).atexit = False

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Backend."""
        return self._held[0].run(*inputs)
