"""Write files completely or not at all, and several at a time."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType


def partial_path(path: Path) -> Path:
    """Temporary path beside `path`, with the same suffix; creates the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f'.{path.stem}.{os.getpid()}.partial{path.suffix}')


def below(folder: Path, name: str | Path) -> Path:
    """Where a file of this name goes; ValueError if that is outside of the folder, links followed.

    For names that come from lists, datasets and annotations.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f'{path} would be written outside of {folder}: give names below it, without links'
        )
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file then replaces `path`, or is deleted on errors.

    Its permissions are those of any new file, whatever a library gave it.
    """
    partial = partial_path(path)
    try:
        partial.touch()
        mode = partial.stat().st_mode
        partial.unlink()
        yield partial
        partial.chmod(mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Delete what killed processes have left of whole_file() in a folder and below it."""
    for partial in folder.rglob('.*.partial*'):
        partial.unlink(missing_ok=True)


class Writers:
    """Threads that write while the next frames are computed, with a bounded queue.

    Encoding an image is most of the work, and OpenCV lets go of the interpreter for it. Leaving
    the context waits for what was submitted, also on Ctrl-C.
    """

    def __init__(self, threads: int, waiting: int = 2) -> None:
        """threads: at work; waiting: so many more per thread are taken before submit() waits."""
        self._pool = ThreadPoolExecutor(threads)
        self._limit = threads * (1 + waiting)
        self._pending: set[Future[object]] = set()

    def submit(self, write: Callable[..., object], *arguments: object) -> None:
        """Call write(*arguments) soon; raises what an earlier call raised."""
        while len(self._pending) >= self._limit:
            wait(self._pending, return_when=FIRST_COMPLETED)
            self._collect()
        self._collect()
        self._pending.add(self._pool.submit(write, *arguments))

    def __enter__(self) -> 'Writers':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
        if kind is None:
            self._collect()

    def _collect(self) -> None:
        done = {future for future in self._pending if future.done()}
        self._pending -= done
        for future in done:
            future.result()
