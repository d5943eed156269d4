"""What Fast DDS leaves in shared memory of processes that were killed: 70 MB each, until removed.

A process that ends in order removes its segment. Beside each one lies a file that its process has
locked while it lives, so a segment without that lock belongs to nobody. Ports, which have names
that are used again, are small and stay.
"""

import fcntl
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FOLDER = Path('/dev/shm')
_LOCK = re.compile(r'fastrtps_[0-9a-f]{16}_el')


def dead_segments() -> Iterator[Path]:
    """Segments whose process has ended without removing them."""
    for lock in FOLDER.glob('fastrtps_*_el'):
        with suppress(OSError):  # it has just gone, or belongs to another user
            if _LOCK.fullmatch(lock.name) and not _is_locked(lock):
                yield lock.with_name(lock.name.removesuffix('_el'))


def remove_dead_segments() -> None:
    """Remove them, as `fastdds shm clean` does."""
    for segment in dead_segments():
        with suppress(OSError):  # another process may have removed it
            segment.unlink(missing_ok=True)
            segment.with_name(f'{segment.name}_el').unlink()


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
