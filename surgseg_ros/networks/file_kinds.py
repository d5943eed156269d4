"""What a file that should hold weights really is, by its bytes. Imports no torch."""

import json
import zipfile
from pathlib import Path

_LFS = b'version https://git-lfs.github.com/spec'
_MARKUP = (b'<!doctype', b'<html', b'<?xml', b'<head')
_FOREIGN = {
    b'\x1f\x8b': 'a gzip archive: unpack it first',
    b'BZh': 'a bzip2 archive: unpack it first',
    b'\xfd7zXZ': 'an xz archive: unpack it first',
    b'7z\xbc\xaf': 'a 7z archive: unpack it first',
    b'\x28\xb5\x2f\xfd': 'a zstandard archive: unpack it first',
    b'\x89HDF': 'an HDF5 file, as Keras writes it',
    b'\x93NUMPY': 'a NumPy array',
    b'%PDF': 'a PDF document',
    b'\x89PNG': 'a PNG image',
}


def is_safetensors(path: Path) -> bool:
    """Whether its name says that it is a safetensors file."""
    return path.suffix.lower() == '.safetensors'


def check(path: Path) -> None:
    """Raise FileNotFoundError or ValueError, in one sentence, where a file cannot hold weights.

    Passes what looks whole; whether it holds tensors is for whoever reads it to say.
    """
    if not path.is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    flaw = _flaw(path)
    if flaw:
        raise ValueError(f'{path} is {flaw}')


def _flaw(path: Path) -> str:
    size = path.stat().st_size
    with path.open('rb') as file:
        head = file.read(1024)
    if not head:
        return 'an empty file: the download or the copy has failed'
    if head.startswith(_LFS):
        return f'a Git LFS pointer of {size} bytes, not the weights it points to: run git lfs pull'
    if head.lstrip(b'\xef\xbb\xbf \t\r\n').lower().startswith(_MARKUP):
        return 'an HTML page, not a checkpoint: the download got a web page instead of the file'
    if not head.strip(b'\0'):
        return 'a file that begins with nothing but zeros: the download was not finished'
    foreign = next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), '')
    if foreign:
        return foreign
    if is_safetensors(path):
        return _flaw_of_safetensors(path, size)
    return _flaw_of_zip(path) if head.startswith(b'PK\x03\x04') else ''


def _flaw_of_safetensors(path: Path, size: int) -> str:
    """Whether it is cut off; the rest is for the safetensors library, which reads the header."""
    with path.open('rb') as file:
        length = int.from_bytes(file.read(8), 'little')
        if length > size - 8:
            return '' if length > 100_000_000 else _cut_off(size, 8 + length)
        header = file.read(length)
    try:
        tensors = json.loads(header)
        ends = [one['data_offsets'][1] for key, one in tensors.items() if key != '__metadata__']
        whole = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return ''
    return _cut_off(size, whole) if isinstance(whole, int) and whole > size else ''


def _flaw_of_zip(path: Path) -> str:
    """torch.save writes a zip archive, whose directory is at the end."""
    if not zipfile.is_zipfile(path):
        return f'cut off after {path.stat().st_size} bytes, its end is missing: {_AGAIN}'
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return f'a damaged archive: {_AGAIN}'
    if any(name.endswith('data.pkl') for name in names):
        return ''
    return f'a zip archive without weights of torch (it has {", ".join(names[:3]) or "nothing"})'


_AGAIN = 'download or copy it again'


def _cut_off(size: int, whole: int) -> str:
    return f'cut off: it has {size} of {whole} bytes: {_AGAIN}'
