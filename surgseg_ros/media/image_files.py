"""Read image files."""

import math
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros.frames.foreign import MAX_PIXELS, check_pixels
from surgseg_ros.media.image_headers import FORMATS, stated_size

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it is said here, once


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
    check_size(bytes(data), what)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # also for sizes above OpenCV's own limit
        image = None
    if image is None:
        raise ValueError(f'{what} is not an image that OpenCV can read')
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        check_pixels(image.shape[1], image.shape[0], what)
    return image


def check_size(data: bytes, what: str) -> None:
    """Raise ValueError where an image file states no size, or one that is too large."""
    size = stated_size(data)
    if size is None:
        raise ValueError(f'{what} is not an image that OpenCV can read: expected {FORMATS}')
    check_pixels(*size, what)


def read_bytes(path: Path) -> bytes:
    """Content of an image file, whose size is checked; FileNotFoundError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no image {path}')
    data = path.read_bytes()
    check_size(data, str(path))
    return data


def read_array(path: Path) -> np.ndarray:
    """The array of a .npy file; ValueError if it is none, or states more than the file holds."""
    try:
        with path.open('rb') as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = _ARRAY_HEADERS[version](file)
            if math.prod(shape) * dtype.itemsize > path.stat().st_size:
                raise ValueError(f'it states the shape {shape}, for which the file is too small')
        values: np.ndarray = np.load(path, allow_pickle=False)
    except Exception as error:  # broken bytes lead to any, tokenize.TokenError for one
        reason = ' '.join(str(error).split())
        raise ValueError(f'{path} is not an array that NumPy can read: {reason}') from error
    return values


_ARRAY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _decoded(path: Path, flags: int) -> np.ndarray:
    return decode(read_bytes(path), str(path), flags)
