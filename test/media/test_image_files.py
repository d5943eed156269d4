"""Masks are read exactly as stored or not at all."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from surgseg_ros.media.image_files import read_grey

IDS = np.repeat(np.array([[0, 3, 6, 255]], np.uint8), 5, axis=0)


def with_palette(ids: np.ndarray, colours: bytes) -> bytes:
    """A PNG whose pixels are indices into a palette, three bytes per colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack('>I', len(data)) + body + struct.pack('>I', zlib.crc32(body))

    height, width = ids.shape
    rows = b''.join(b'\0' + row.tobytes() for row in ids)
    return b''.join(
        [
            b'\x89PNG\r\n\x1a\n',
            chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 3, 0, 0, 0)),
            chunk(b'PLTE', colours),
            chunk(b'IDAT', zlib.compress(rows)),
            chunk(b'IEND', b''),
        ]
    )


@pytest.mark.parametrize('stored', [IDS, cv2.merge([IDS] * 3), cv2.merge([IDS] * 4)])
def test_one_channel_or_equal_ones(tmp_path, stored):
    cv2.imwrite(str(tmp_path / 'mask.png'), stored)
    read = read_grey(tmp_path / 'mask.png')
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, IDS)


@pytest.mark.parametrize(
    ('stored', 'message'),
    [
        (20 * IDS.astype(np.uint16), 'mask.png has values of type uint16, expected 8 bits'),
        (cv2.merge([0 * IDS, 0 * IDS, IDS]), 'mask.png is in colours or has a palette, expected'),
    ],
)
def test_what_would_become_other_numbers_is_refused(tmp_path, stored, message):
    cv2.imwrite(str(tmp_path / 'mask.png'), stored)
    with pytest.raises(ValueError, match=message):
        read_grey(tmp_path / 'mask.png')


def test_a_palette_is_refused(tmp_path):
    colours = bytes(value for i in range(256) for value in (i * 37 % 256, i * 91 % 256, i))
    (tmp_path / 'mask.png').write_bytes(with_palette(IDS, colours))
    with pytest.raises(ValueError, match='mask.png is in colours or has a palette'):
        read_grey(tmp_path / 'mask.png')
