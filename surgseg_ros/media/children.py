"""Starts all child processes of this package.

A child runs no code from the folder that it is started in, which holds the user's data: with -P
the current folder is not on Python's import path, and PYTHONSAFEPATH hands that down.
"""

import ctypes
import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PACKAGE_PARENT = Path(__file__).parents[2]
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_RUNNING: set[int] = set()  # process ids of what run() waits for
_ENDING: list[bool] = []  # not empty: this process is to end

Changes = Mapping[str, str | None]
Stream = int | IO[str] | None


def python(*words: str) -> list[str]:
    """Command line of this Python with these words, e.g. '-m', 'surgseg_ros.cli'."""
    return [sys.executable, '-P', *words]


def environment(changes: Changes | None = None) -> dict[str, str]:
    """Return the environment of a child: this process's with `changes`, and a safe import path.

    changes: new values by name; None removes a variable. Relative entries of PYTHONPATH, the
    empty one included, stand for the current folder and are left out. This package is found even
    if it is not installed.
    """
    changed = {**os.environ, **(changes or {}), 'PYTHONSAFEPATH': '1'}
    wanted = {name: value for name, value in changed.items() if value is not None}
    given = wanted.get('PYTHONPATH', '').split(os.pathsep)
    kept = [entry for entry in given if os.path.isabs(entry)]
    if str(_PACKAGE_PARENT) not in (*kept, *site.getsitepackages()):
        kept.append(str(_PACKAGE_PARENT))
    return wanted | {'PYTHONPATH': os.pathsep.join(kept)}


def start(
    words: Sequence[str],
    *,
    changes: Changes | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
    own_session: bool = False,
) -> 'subprocess.Popen[str]':
    """Start a program; it is interrupted (SIGINT) when this process dies, even by SIGKILL.

    words: its command line, see python(). changes: of the environment, see environment().
    own_session: Ctrl-C in the terminal does not reach it.
    """
    return subprocess.Popen(
        words,
        env=environment(changes),
        text=True,
        errors='replace',
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=own_session,
        preexec_fn=_end_with_parent,
    )


def run(
    words: Sequence[str], *, changes: Changes | None = None, timeout: float | None = None
) -> 'subprocess.CompletedProcess[str]':
    """Run a program to its end and keep what it prints; one that hangs has return code 124.

    words, changes: as for start(). timeout: s after which it is killed. See end_running().
    """
    with start(words, changes=changes, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _RUNNING.add(process.pid)
        if _ENDING:
            process.kill()
        try:
            printed, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            return subprocess.CompletedProcess(words, 124, '', f'no answer within {timeout:g} s')
        except BaseException:
            process.kill()
            raise
        finally:
            _RUNNING.discard(process.pid)
    return subprocess.CompletedProcess(words, process.returncode, printed, errors)


def end_running() -> None:
    """Kill the children that run() waits for, now and later; for signal handlers at the end.

    A network that is being exported would otherwise keep its node from ending for half a minute.
    """
    _ENDING.append(True)
    for pid in tuple(_RUNNING):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ending() -> bool:
    """Whether end_running() has been called: this process has been told to end."""
    return bool(_ENDING)


def last_line(done: 'subprocess.CompletedProcess[str]') -> str:
    """Return the last line of its error output: where a Python program says what went wrong."""
    return (done.stderr.strip().splitlines() or [f'ended with {done.returncode}'])[-1]


def _end_with_parent() -> None:
    """Ask Linux to interrupt this process when its parent dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
