"""Chunks of mcap files, decompressed within bounds (https://mcap.dev/spec)."""

import struct
from binascii import crc32
from typing import NamedTuple

from lz4.frame import LZ4FrameDecompressor
from rosbags.rosbag2 import storage_mcap

zstd = storage_mcap.zstd  # of the standard library, or its backport

MAX_CHUNK = 1 << 30  # bytes of a chunk once decompressed
_HEAD = struct.Struct('<QQQII')  # first and last time, size, checksum, length of the next


class DamagedChunk(ValueError):
    """A chunk whose bytes are not what was written."""


class Chunk(NamedTuple):
    """Records of a chunk as far as they are there. whole: nothing is missing at its end."""

    records: bytes
    whole: bool


def decompressed(content: bytes, whole: bool) -> Chunk:
    """Records of a chunk record's content, of which the end may be missing (not `whole`).

    Raises DamagedChunk where the bytes are not those that were written.
    """
    try:
        _, _, size, checksum, length = _HEAD.unpack_from(content)
        at = _HEAD.size + length + 8
        compression = content[_HEAD.size : at - 8].decode()
        data = content[at:]
        records = _expand(data, compression, size)
    except (struct.error, UnicodeDecodeError, RuntimeError, zstd.ZstdError) as error:
        raise DamagedChunk(str(error)) from None
    if whole and (len(records) != size or checksum and crc32(records) != checksum):
        raise DamagedChunk('its checksum or size is wrong')
    return Chunk(records, len(records) == size)


def compress(records: bytes) -> bytes:
    """Compress the records of a chunk, fast, with a checksum: 2.5 times smaller on endoscopy."""
    parameters = zstd.CompressionParameter
    return bytes(
        zstd.compress(
            records, options={parameters.compression_level: 1, parameters.checksum_flag: 1}
        )
    )


def limit_decompression() -> None:
    """Have rosbags decompress at most what a chunk states, and at most MAX_CHUNK."""
    storage_mcap.DECOMPRESSORS['zstd'] = lambda data, size: _expand(data, 'zstd', size)
    storage_mcap.DECOMPRESSORS['lz4'] = lambda data, size: _expand(data, 'lz4', size)


def _expand(data: bytes, compression: str, size: int) -> bytes:
    """Bytes that data stand for, at most `size`; as many as there are, if data is cut off."""
    if size > MAX_CHUNK:
        raise DamagedChunk(f'a chunk claims {size} bytes, at most {MAX_CHUNK} are read')
    if compression == '':
        return data[:size]
    if compression == 'zstd':  # one byte more, or the checksum would not be looked at
        return bytes(zstd.ZstdDecompressor().decompress(data, max_length=size + 1))
    if compression == 'lz4':
        return bytes(LZ4FrameDecompressor().decompress(data, max_length=size))
    raise DamagedChunk(f'its compression {compression!r} is unknown')
