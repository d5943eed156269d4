"""Masks are read exactly as stored or not at all."""

import resource
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from surgseg_ros.media.image_files import read_array, read_grey, read_rgb
from surgseg_ros.media.image_headers import stated_size

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


# Sizes and depths.


def test_12_bits_in_16_are_refused_and_16_are_scaled(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 48 * 64).astype(np.uint16).reshape(48, 64)
    cv2.imwrite(str(tmp_path / '12.png'), values)
    with pytest.raises(ValueError, match='uses 12 at most .its greatest value is 4095'):
        read_rgb(tmp_path / '12.png')
    cv2.imwrite(str(tmp_path / '16.png'), values * 16)
    read = read_rgb(tmp_path / '16.png')
    np.testing.assert_allclose(read[..., 1], values * 16 / 257, atol=1)


def bomb(kind: str) -> bytes:
    """A file of a few bytes whose header says 30000 x 30000."""
    small = cv2.imencode(f'.{kind}', np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    if kind == 'png':
        header = b'IHDR' + struct.pack('>II', 30_000, 30_000) + small[24:29]
        return small[:12] + header + struct.pack('>I', zlib.crc32(header)) + small[33:]
    if kind == 'bmp':
        return small[:18] + struct.pack('<ii', 30_000, 30_000) + small[26:]
    if kind == 'ppm':
        return b'P6 30000 30000 255\n' + bytes(100)
    if kind == 'tiff':
        image = cv2.imencode('.tiff', np.zeros((16, 16, 3), np.uint8))[1].tobytes()
        for tag in (256, 257):  # width and height, shorts
            head = struct.pack('<HHI', tag, 3, 1)
            at = image.index(head) + len(head)
            image = image[:at] + struct.pack('<I', 30_000) + image[at + 4 :]
        return image
    if kind == 'webp':  # VP8L: 14 bits each
        image = cv2.imencode('.webp', np.zeros((16, 16, 3), np.uint8), [64, 101])[1].tobytes()
        at = image.index(b'VP8L') + 9
        return image[:at] + struct.pack('<I', 0x3FFF | 0x3FFF << 14) + image[at + 4 :]
    at = small.index(b'\xff\xc0') + 5
    return small[:at] + struct.pack('>HH', 30_000, 30_000) + small[at + 4 :]


def test_a_jpeg_states_its_size_where_libjpeg_finds_it() -> None:
    """Markers without a length and fill bytes before the size hide it from a simple search."""
    huge = bomb('jpg')
    decoy = b'\xff\xc0\x00\x11\x08\x00\x10\x00\x10\x03' + bytes(9)
    for inserted in (b'\xff\x01', b'\xff\xd0', b'\xff\xff\xff', b'\xff\xfe\x00\x15' + decoy):
        assert stated_size(huge[:2] + inserted + huge[2:]) == (30_000, 30_000)
    assert stated_size(huge[:2] + b'garbage' + huge[2:]) is None
    scans = huge + b'\xff\xda' * 200
    assert stated_size(scans) is None  # each takes as long as a whole image


@pytest.mark.parametrize('suffix', ['gif', 'jp2', 'hdr', 'pam', 'pfm'])
def test_formats_whose_size_nobody_looked_at_are_refused(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(
        str(tmp_path / f'a.{suffix}'),
        np.zeros((16, 16, 3), np.float32 if suffix in ('hdr', 'pfm') else np.uint8),
    )
    with pytest.raises(ValueError, match='expected PNG, JPEG, TIFF, BMP, WebP, PBM'):
        read_rgb(tmp_path / f'a.{suffix}')


def test_an_array_that_states_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.npy'
    np.save(path, np.zeros((4, 4), np.float32))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'(4, 4), }', b'(4, 9999999999), }'))
    with pytest.raises(ValueError, match='for which the file is too small'):
        read_array(path)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match='is not an array that NumPy can read'):
        read_array(path)


@pytest.mark.parametrize('kind', ['png', 'jpg', 'bmp', 'ppm', 'tiff', 'webp'])
def test_huge_sizes_are_refused_before_they_are_made(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f'bomb.{kind}'
    path.write_bytes(bomb(kind))
    said = (
        'is 16384x16384, 268 million' if kind == 'webp' else 'is 30000x30000, 900 million pixels'
    )
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=said):
        read_rgb(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 200_000  # kB of 2.7 GB
