"""Sizes that headers of image files state, read before anything is decoded.

A few bytes may stand for gigabytes of pixels, so what has no size here is not decoded at all.
"""

import re
import struct
from collections.abc import Callable, Iterator

Size = tuple[int, int]  # width, height, px

FORMATS = 'PNG, JPEG, TIFF, BMP, WebP, PBM, PGM or PPM'
MAX_SCANS = 100  # of a progressive JPEG, each of which takes as long as a whole image
# JPEG markers that hold the size: SOF0 .. SOF15 without DHT, JPG and DAC
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length: TEM, RST0 .. RST7, SOI
_JPEG_SCAN = b'\xff\xda'
_PNM = re.compile(rb'P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})')
_TIFF_WIDTH, _TIFF_HEIGHT = (256, 322), (257, 323)  # of the image, and of its tiles
_TIFF_NUMBERS = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}  # types of values: bytes, shorts, longs


def stated_size(data: bytes) -> Size | None:
    """Size that an image file states; None of what is none, is damaged or of another format.

    The formats are those of FORMATS. A JPEG of more than MAX_SCANS scans counts as damaged.
    """
    try:
        return next((size(data) for magic, size in _SIZES.items() if data.startswith(magic)), None)
    except (struct.error, IndexError, KeyError):  # it ends within its header
        return None


def _png(data: bytes) -> Size | None:
    return struct.unpack_from('>II', data, 16) if data[12:16] == b'IHDR' else None


def _bmp(data: bytes) -> Size | None:
    if int.from_bytes(data[14:18], 'little') == 12:  # the header of OS/2
        return struct.unpack_from('<HH', data, 18)
    width, height = struct.unpack_from('<ii', data, 18)
    return abs(width), abs(height)


def _jpeg(data: bytes) -> Size | None:
    """Walk from marker to marker as libjpeg does, but refuse what it would skip."""
    if data.count(_JPEG_SCAN) > MAX_SCANS:
        return None
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from('>HH', data, at + 5)
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return None


def _webp(data: bytes) -> Size | None:
    if data[8:15] == b'WEBPVP8' and data[15:16] in b' LX' and len(data) >= 30:
        if data[15] == ord('X'):
            return _little(data[24:27]) + 1, _little(data[27:30]) + 1
        if data[15] == ord('L'):
            bits = _little(data[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    return None


def _little(data: bytes) -> int:
    return int.from_bytes(data, 'little')


def _tiff(data: bytes) -> Size | None:
    """The greatest width and height that the first directory states, also those of tiles."""
    numbers = dict(_tiff_numbers(data))
    widths, heights = (
        [numbers[tag] for tag in tags if tag in numbers] for tags in (_TIFF_WIDTH, _TIFF_HEIGHT)
    )
    return (max(widths), max(heights)) if widths and heights else None


def _tiff_numbers(data: bytes) -> Iterator[tuple[int, int]]:
    """Tag and first value of each entry that is a whole number."""
    order = '<' if data.startswith(b'II') else '>'
    big = struct.unpack_from(f'{order}H', data, 2)[0] == 43
    (at,) = struct.unpack_from(order + ('Q' if big else 'I'), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ('Q' if big else 'H'), data, at)
    first, length, value_at = (at + 8, 20, 12) if big else (at + 2, 12, 8)
    for start in range(first, first + min(count, 4096) * length, length):
        tag, kind = struct.unpack_from(f'{order}HH', data, start)
        if kind in _TIFF_NUMBERS:
            yield tag, struct.unpack_from(order + _TIFF_NUMBERS[kind], data, start + value_at)[0]


def _pnm(data: bytes) -> Size | None:
    found = _PNM.match(data[:4096])
    return (int(found[1]), int(found[2])) if found else None


_SIZES: dict[bytes, Callable[[bytes], Size | None]] = {
    b'\x89PNG\r\n\x1a\n': _png,
    b'\xff\xd8': _jpeg,
    b'BM': _bmp,
    b'RIFF': _webp,
    **dict.fromkeys((b'II*\0', b'II+\0', b'MM\0*', b'MM\0+'), _tiff),
    **{f'P{number}'.encode(): _pnm for number in range(1, 7)},
}
