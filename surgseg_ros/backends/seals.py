"""Files with their hash beside them, so that changed files are not used."""

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

_SUFFIX = '.sha256'


def intact(path: Path) -> bool:
    """Whether the file is there, and the hash beside it is its own."""
    try:
        return _beside(path).read_text().strip() == _sha256(path)
    except (OSError, UnicodeDecodeError):
        return False


def move(partial: Path, path: Path) -> None:
    """Move a finished file to where it is kept, in the same file system, and seal it."""
    digest = _sha256(partial)
    partial.replace(path)
    _write(path, digest)


def seal_all(folder: Path) -> None:
    """Seal the files of a folder that have no seal yet."""
    for path in _files(folder):
        if not _beside(path).exists():
            with suppress(FileNotFoundError):  # another process may have dropped it
                _write(path, _sha256(path))


def drop_broken(folder: Path) -> None:
    """Delete files with no seal or a wrong one: truncated, changed, or still being written."""
    for path in _files(folder):
        if not intact(path):
            path.unlink(missing_ok=True)
            _beside(path).unlink(missing_ok=True)


def _write(path: Path, digest: str) -> None:
    """Written completely or not at all, like the file itself."""
    with tempfile.NamedTemporaryFile('w', dir=path.parent, suffix=_SUFFIX, delete=False) as file:
        file.write(f'{digest}\n')
    Path(file.name).replace(_beside(path))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and _SUFFIX not in path.name]


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
