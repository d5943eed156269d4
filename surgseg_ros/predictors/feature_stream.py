"""Features whose computation takes longer than a frame period."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np


class FeatureStream:
    """Gives every frame the newest features, and their age.

    encode: image -> features, which belong to the caller; always called in the same thread, so
    never twice at a time. every: begin with the features of each `every`-th frame. asynchronous:
    after the first frame none waits for the encoder; while it is busy, no frame is encoded. Both
    may change at any time.
    """

    def __init__(
        self,
        encode: Callable[[np.ndarray], np.ndarray],
        every: int = 1,
        asynchronous: bool = False,
    ) -> None:
        self.every, self.asynchronous = every, asynchronous
        self._encode = encode
        self._thread = ThreadPoolExecutor(1, thread_name_prefix='encoder')
        self.reset()

    def reset(self) -> None:
        """Forget all features: what comes next is another scene."""
        self._frame = 0
        self._begun = 0  # frame that was encoded last, or is being encoded
        self._newest: tuple[np.ndarray, int] | None = None  # features, and their frame
        self._pending: Future[np.ndarray] | None = None

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, int]:
        """Features for the next frame, and by how many frames they are older than it."""
        self._frame += 1
        if self._pending and self._pending.done():
            self._collect()
        wanted = self._newest is None or self._frame - self._begun >= self.every
        if wanted and not self._pending:
            self._begun = self._frame
            # the caller may write to its image while the thread reads it
            self._pending = self._thread.submit(self._encode, image.copy())
        if self._pending and (self._newest is None or not self.asynchronous):
            self._collect()
        assert self._newest is not None
        features, frame = self._newest
        return features, self._frame - frame

    def _collect(self) -> None:
        """Take the features that the thread computes; raises what it raised.

        If it raised, older features are dropped too, because their scene may have ended.
        """
        assert self._pending is not None
        pending, self._pending, self._newest = self._pending, None, None
        self._newest = pending.result(), self._begun
