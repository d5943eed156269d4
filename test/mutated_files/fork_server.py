"""A process that has imported every reader; each file is read in a fork of it.

A fork may die alone, has bounded memory and time, and reports what it writes outside of its
folder.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgseg_ros.media import children

MEMORY = 2 << 30  # bytes that reading a file may ask for
SECONDS = 120  # for a file that takes milliseconds: it hangs
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ('os.remove', 'os.rename', 'os.rmdir', 'os.mkdir', 'os.symlink', 'os.link')
_CHANGES += ('os.truncate', 'os.chmod', 'shutil.rmtree', 'shutil.move')
_NEVER = ('subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn', 'socket.connect')
_HARMLESS = ('/dev/null', '/dev/shm/', '/memfd:', '/proc/self/')


@dataclass(frozen=True)
class Outcome:
    """What became of a file. fault: what must not be, empty if all is well; peak: bytes."""

    read: bool
    said: str
    fault: str
    peak: int


class ForkServer:
    """Reads files by kind (a name in file_readers.READERS), one after the other."""

    def __init__(self, folder: Path) -> None:
        """folder: where reading may write."""
        folder.mkdir(parents=True, exist_ok=True)
        one_thread = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1')
        self._process = children.start(
            children.python(__file__, str(folder)),
            # torch.compile names its own folder to all children of a process that has used it
            changes={
                **one_thread,
                'TMPDIR': str(folder),
                'TORCHINDUCTOR_CACHE_DIR': str(folder / 'inductor'),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def read(self, kind: str, path: Path) -> Outcome:
        """Read a file."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([kind, str(path)]) + '\n')
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve(folder: Path, readers: dict[str, Any]) -> None:
    """Answer each line of standard input, a kind and a path, with an Outcome."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        kind, path = json.loads(line)
        print(json.dumps(_in_a_fork(readers[kind], Path(path), folder)), file=answers, flush=True)


def _in_a_fork(reader: Any, path: Path, folder: Path) -> dict[str, Any]:
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        answer = json.dumps(_judged(reader, path, folder)).encode()
        os.write(sending, answer[:60_000])
        os._exit(0)
    os.close(sending)
    answer, late = _answer(receiving, child)
    os.close(receiving)
    _, status = os.waitpid(child, 0)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    if late:
        return {'read': False, 'said': '', 'fault': f'no end within {SECONDS} s', 'peak': peak}
    if os.WIFSIGNALED(status):
        fault = f'ended by {signal.Signals(os.WTERMSIG(status)).name}'
        return {'read': False, 'said': '', 'fault': fault, 'peak': peak}
    return {**json.loads(answer), 'peak': peak}


def _answer(receiving: int, child: int) -> tuple[bytes, bool]:
    """What the fork says, and whether it had to be killed."""
    answer, deadline = b'', time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if select.select([receiving], [], [], 1.0)[0]:
            part = os.read(receiving, 1 << 16)
            if not part:
                return answer, False
            answer += part
    os.kill(child, signal.SIGKILL)
    return answer, True


def _judged(reader: Any, path: Path, folder: Path) -> dict[str, Any]:
    """In the fork: whether the file was read, or what was said instead, and what is a fault."""
    written: list[str] = []
    read, said, fault = False, '', ''
    try:
        with _bounded(), _watched(folder, written):
            reader(path, folder)
        read = True
    except BaseException as error:
        said = f'{type(error).__name__}: {error}'
        fault = _flaw(error)
    if written:
        fault = f'outside of the folder: {written[0]}'
    return {'read': read, 'said': said[:2000], 'fault': fault[:8000]}


def _flaw(error: BaseException) -> str:
    """What is wrong with an exception as the answer to a file; empty for one clear sentence."""
    import traceback

    plain = isinstance(error, ValueError | OSError)
    raw = isinstance(error, UnicodeError | json.JSONDecodeError)
    sentence = str(error)
    if plain and not raw and sentence.strip() and '\n' not in sentence:
        return ''
    return ''.join(traceback.format_exception(error))


@contextmanager
def _bounded() -> Iterator[None]:
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    yield


@contextmanager
def _watched(folder: Path, written: list[str]) -> Iterator[None]:
    """Note what is written outside of the folder, and every process and connection."""
    watching = [True]

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event in _NEVER:
            written.append(f'{event} {details!r}')
        changes = event == 'open' and isinstance(details[2], int) and details[2] & _WRITING
        if changes or event in _CHANGES:
            places = details[:1] if event == 'open' else details[:2]
            for place in places:
                if not isinstance(place, str | bytes | os.PathLike):  # a descriptor
                    continue
                where = os.path.realpath(os.path.join(_base(details), os.fsdecode(place)))
                if not where.startswith((f'{folder.resolve()}/', *_HARMLESS)):
                    written.append(f'{event} {where}')

    sys.addaudithook(hook)
    yield
    watching.clear()


def _base(details: tuple[Any, ...]) -> str:
    """The folder that a relative name is in: the current one, or that of a descriptor."""
    last = details[-1]
    link = f'/proc/self/fd/{last}' if isinstance(last, int) and last > 2 else ''
    return os.readlink(link) if link and os.path.isdir(link) else ''


if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parent))
    from file_readers import READERS

    serve(Path(sys.argv[1]), READERS)
