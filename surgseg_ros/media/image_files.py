"""Read image files."""

import struct
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros.frames.foreign import MAX_PIXELS, check_pixels

_HEAD = 1 << 16  # bytes in which most headers end; JPEG's may come later
# JPEG markers that hold the size: SOF0 .. SOF15 without DHT, JPG and DAC
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def read_rgb(path: Path) -> np.ndarray:
    """HxWx3 uint8 RGB; ValueError if OpenCV cannot read it.

    16 bits span black 0 to white 65535. Images that use 12 of their 16 bits only, as many cameras
    write them, would come out black, and are refused.
    """
    image = _decoded(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image.dtype == np.uint16:
        if 0 < image.max() < 1 << 12:
            raise ValueError(
                f'{path} has 16 bits, of which it uses 12 at most (its greatest value is '
                f'{image.max()}): scale the values to 0 .. 65535, or write 8 bits'
            )
        image = cv2.convertScaleAbs(image, alpha=255 / 65535)
    elif image.dtype != np.uint8:
        raise ValueError(f'{path} has values of type {image.dtype}, expected 8 or 16 bits')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_as_stored(path: Path) -> np.ndarray:
    """HxW or HxWxC (blue first) exactly as stored; ValueError if OpenCV cannot read it."""
    return _decoded(path, cv2.IMREAD_UNCHANGED)


def read_grey(path: Path) -> np.ndarray:
    """HxW uint8 exactly as stored, for masks; ValueError if that is not what the file has.

    Three channels that are equal are one. Colours, also those of a palette, and 16 bits are
    refused: OpenCV would make other numbers of them.
    """
    values = read_as_stored(path)
    if values.dtype != np.uint8:
        raise ValueError(f'{path} has values of type {values.dtype}, expected 8 bits per pixel')
    if values.ndim == 2:
        return values
    grey = values[..., 0]
    if (values[..., 1:3] != grey[..., None]).any():
        raise ValueError(
            f'{path} is in colours or has a palette, expected one grey value per pixel'
        )
    return grey.copy()


def decode(data: bytes | np.ndarray, what: str, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode an image file's bytes, as OpenCV does; ValueError if they are none, or too large.

    The size is looked for in the header before anything is decoded: a few bytes may stand for
    gigabytes of pixels (frames.foreign.MAX_PIXELS).
    """
    size = stated_size(bytes(data[:_HEAD])) or stated_size(bytes(data))
    if size:
        check_pixels(*size, what)
    image = None
    if len(data):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:  # also for sizes above OpenCV's own limit
            image = None
    if image is None:
        raise ValueError(f'{what} is not an image that OpenCV can read')
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        check_pixels(image.shape[1], image.shape[0], what)
    return image


def stated_size(head: bytes) -> tuple[int, int] | None:
    """(width, height) that the header of a PNG, JPEG or BMP states; None of what is none."""
    if head.startswith(b'\x89PNG\r\n\x1a\n') and len(head) >= 24:
        width, height = struct.unpack_from('>II', head, 16)
        return width, height
    if head.startswith(b'BM') and len(head) >= 26:
        width, height = struct.unpack_from('<ii', head, 18)
        return abs(width), abs(height)
    return _jpeg_size(head) if head.startswith(b'\xff\xd8') else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], 'big')
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from('>HH', head, at + 5)
            return width, height
        at += 2 + length if marker != 0xFF else 1
    return None


def _decoded(path: Path, flags: int) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f'there is no image {path}')
    return decode(path.read_bytes(), str(path), flags)
