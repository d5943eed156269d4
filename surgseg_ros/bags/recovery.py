"""Save what an interrupted recording has written: an mcap file that lacks its end.

Layout of mcap: magic, records (opcode uint8, length uint64, content), magic; the last records are
a summary, which may be left out (https://mcap.dev/spec).
"""

import struct
from pathlib import Path
from typing import BinaryIO

from surgseg_ros.bags.reader import BagError, unfinished_path

_MAGIC = b'\x89MCAP0\r\n'
_DATA_END, _FOOTER, _NOTHING = 0x0F, 0x02, 0x00
_RECORD = struct.Struct('<BQ')
_END = (
    _RECORD.pack(_DATA_END, 4)
    + bytes(4)  # no checksum
    + _RECORD.pack(_FOOTER, 20)
    + bytes(20)  # no summary, no checksum
    + _MAGIC
)


def find_remains(path: Path) -> Path:
    """The mcap file of a recording: `path` itself, or what BagWriter left of the bag `path`.

    Raises BagError if there is none (an interrupted sqlite3 recording holds nothing).
    """
    folders = (path, path / 'bag', unfinished_path(path) / 'bag')
    found = [path] if path.is_file() else [f for d in folders for f in sorted(d.glob('*.mcap'))]
    if not found:
        raise BagError(f'there are no remains of an mcap recording at {path}')
    return found[0]


def repair_mcap(broken: Path, repaired: Path) -> None:
    """Write the whole records of `broken` and a proper end to the new file `repaired`.

    Raises BagError if `broken` does not even begin like mcap.
    """
    with broken.open('rb') as source, repaired.open('xb') as target:
        if source.read(len(_MAGIC)) != _MAGIC:
            raise BagError(f'{broken} is no mcap file')
        left = _end_of_records(source, broken.stat().st_size)
        source.seek(0)
        while left:
            left -= target.write(source.read(min(left, 1 << 20)))
        target.write(_END)


def _end_of_records(file: BinaryIO, size: int) -> int:
    """Offset behind the last whole record of data."""
    end = file.tell()
    while len(head := file.read(_RECORD.size)) == _RECORD.size:
        opcode, length = _RECORD.unpack(head)
        if opcode in (_DATA_END, _FOOTER, _NOTHING) or file.tell() + length > size:
            break
        end = file.seek(length, 1)
    return end
