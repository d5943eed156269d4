"""Locks between processes: files that are released with their process and resist tampering.

A lock is taken by name in a folder that others may write to. So links are not followed, nothing
is truncated, and only the user who made a lock file can open it.
"""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def reserved(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder for this process; where another one holds it, wait or raise ValueError.

    The system takes it back even from a killed process, and forked ones do not inherit it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock_file(folder / '.lock') as descriptor:
        if not _take(fcntl.lockf, descriptor, wait):
            raise ValueError(
                f'another process is at work in {folder}: wait until it has ended, '
                'or choose another folder'
            )
        yield


@contextmanager
def claim(name: str) -> Iterator[bool]:
    """Yield whether `name` was free: not held in this process or another of this user."""
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(_lock_file(private_folder() / name))
        except _NoLockFile:
            held = False
        else:
            held = _take(fcntl.flock, descriptor, wait=False)
        yield held


@cache
def private_folder() -> Path:
    """Folder of this user's lock files: in XDG_RUNTIME_DIR, or the temporary folder.

    Folders that are not exclusively this user's are skipped; if all are, a new one is created.
    """
    runtime = os.environ.get('XDG_RUNTIME_DIR', '')
    if os.path.isabs(runtime) and _is_private(Path(runtime)):
        return Path(runtime)
    shared = Path(tempfile.gettempdir()) / f'surgseg_{os.getuid()}'
    try:
        shared.mkdir(mode=0o700, exist_ok=True)
    except OSError:  # a file or a dead link by this name, or a folder that cannot be written
        return Path(tempfile.mkdtemp(prefix='surgseg_'))
    return shared if _is_private(shared) else Path(tempfile.mkdtemp(prefix='surgseg_'))


def _is_private(folder: Path) -> bool:
    """Whether it is a folder, no link, that this user alone owns, reads and writes."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    mine = found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o777 == 0o700
    return stat.S_ISDIR(found.st_mode) and mine and os.access(folder, os.W_OK | os.X_OK)


class _NoLockFile(OSError):
    """The path of a lock file is taken by something else."""


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    """Yield the open lock file; raises _NoLockFile where a link or no plain file is there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fault = _NoLockFile(f'{path} is a link or no plain file, so it cannot be locked: remove it')
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        strange = error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO)  # link, folder, socket
        raise fault if strange else error from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise fault
        yield descriptor
    finally:
        os.close(descriptor)


def _take(lock: Callable[[int, int], None], descriptor: int, wait: bool) -> bool:
    try:
        lock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
