"""The cache of exported networks. Nothing here imports torch: an export runs in a process of
its own, which also keeps torch's compiler away from a renderer in this one.

Files in the cache are executed, so they must be those that this package wrote: only the owner may
write to the folders, and a file is used only if it has the hash that was written beside it.
"""

import json
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess

from surgseg_ros.backends import seals
from surgseg_ros.backends.model import Model
from surgseg_ros.frames.foreign import warn
from surgseg_ros.media import children

_KEPT = ('onnx', 'openvino')  # folders in the cache


def cache_folder() -> Path:
    """Where exports and compiled networks are kept: $SURGSEG_CACHE or ~/.cache/surgseg_ros."""
    return Path(os.environ.get('SURGSEG_CACHE') or Path.home() / '.cache' / 'surgseg_ros')


def cache_bytes() -> int:
    """How much the cache holds."""
    return sum(
        path.stat().st_size
        for kept in _KEPT
        for path in (cache_folder() / kept).rglob('*')
        if path.is_file()
    )


def clear_cache() -> None:
    """Delete all exports and compiled networks; they are rebuilt when needed (seconds each)."""
    for kept in _KEPT:
        shutil.rmtree(cache_folder() / kept, ignore_errors=True)


def onnx_file(model: Model) -> Path:
    """Return the model as an ONNX file, exporting it the first time (seconds, needs torch).

    A file that has changed since it was written is rebuilt. Several processes may ask at once: the
    file appears complete or not at all. Raises ValueError or FileNotFoundError where the weights
    are not the network's, ImportError where packages are missing for an export, OSError where it
    fails.
    """
    name = f'{model.name}-{model.digest()}.onnx'
    kept = cache_folder() / 'onnx' / name
    if not _flaw(kept.parent) and seals.intact(kept):
        return kept
    folder = _writable('onnx')
    path = folder / name
    if not seals.intact(path):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            partial = Path(scratch) / name
            _export(model, partial)
            seals.move(partial, path)
    return path


@contextmanager
def compiled_folder(name: str) -> Iterator[Path]:
    """Folder in which a backend keeps what it compiles of the export `name`.

    It contains only unchanged files; those that the backend adds are sealed at the end.
    """
    folder = _writable('openvino') / name
    folder.mkdir(mode=0o700, exist_ok=True)
    seals.drop_broken(folder)
    yield folder
    seals.seal_all(folder)


def cache_flaw() -> str:
    """Try to write to the cache; return in a few words why that fails, or ''."""
    try:
        for kept in _KEPT:
            with tempfile.TemporaryFile(dir=_make(kept)) as trial:
                trial.write(bytes(4096))
    except OSError as error:
        return error.strerror or str(error)
    return ''


def _writable(kept: str) -> Path:
    """That folder of the cache, or, with a warning, a temporary one."""
    try:
        return _make(kept)
    except OSError as error:
        folder = _temporary(cache_folder(), error.strerror or str(error)) / kept
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def _make(kept: str) -> Path:
    """That folder of the cache, created if necessary; OSError if it cannot be used."""
    folder = cache_folder() / kept
    cache_folder().parent.mkdir(parents=True, exist_ok=True)
    for place in (cache_folder(), folder):
        place.mkdir(mode=0o700, exist_ok=True)
    if flaw := _flaw(folder):
        raise PermissionError(0, flaw)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(0, 'it cannot be written to')
    return folder


def _flaw(folder: Path) -> str:
    """Who else can write to a folder of the cache; empty if nobody can."""
    for place in (folder.parent, folder):
        if not place.exists():
            continue
        found = place.stat()
        sticky = place == folder.parent and found.st_mode & stat.S_ISVTX
        if found.st_uid != os.geteuid():
            return f'{place} belongs to another user'
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
            return f'other users can write to {place}'
    return ''


@cache
def _temporary(instead_of: Path, why: str) -> Path:
    """A folder that is deleted when this process ends."""
    folder = tempfile.TemporaryDirectory(prefix='surgseg_')
    _TEMPORARY.append(folder)
    warn(
        f'exported networks cannot be kept in {instead_of} ({why}), so they are made anew for '
        'every start: set SURGSEG_CACHE to a folder of your own'
    )
    return Path(folder.name)


_TEMPORARY: list[tempfile.TemporaryDirectory[str]] = []


def _export(model: Model, path: Path) -> None:
    missing = [name for name in ('torch', 'onnx', 'onnxscript') if find_spec(name) is None]
    if missing:
        raise ImportError(f'exporting {model.name} needs pip install {" ".join(missing)}')
    request = json.dumps(asdict(model), default=lambda path: str(path.absolute()))
    child = children.run(
        children.python('-m', 'surgseg_ros.backends.export_onnx', request, str(path))
    )
    if child.returncode == 3:
        raise ValueError(children.last_line(child))
    if child.returncode:
        raise OSError(f'{model.name} could not be exported to ONNX: {_reason(child)}')


def _reason(child: 'CompletedProcess[str]') -> str:
    if child.returncode < 0:
        return f'its process was ended by {signal.Signals(-child.returncode).name}'
    return children.last_line(child)
