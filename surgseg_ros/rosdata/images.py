"""sensor_msgs images <-> numpy, without ROS and without copies where the format allows it.

The functions read the fields of a message and nothing else, so they serve rclpy's messages
(data is array.array) and rosbags' (data is ndarray) alike. cv_bridge is used for rare encodings
only: it crashes under NumPy 2 (vision_opencv#535), copies every image, and is missing where ROS
comes from wheels.
"""

import re
from typing import NamedTuple

import cv2
import numpy as np

from surgseg_ros.frames.foreign import check_pixels, printable
from surgseg_ros.media.image_files import decode
from surgseg_ros.rosdata.factory import Message


class _Layout(NamedTuple):
    """Pixel layout of one encoding and OpenCV's way from it to RGB (None: it is RGB already)."""

    dtype: type
    channels: int
    to_rgb: int | None


# Names as in sensor_msgs/image_encodings.hpp. OpenCV calls a Bayer pattern by the second row's
# pixels 2 and 3 (its BG is ROS's rggb); the aliases used here follow the first row, as ROS does.
# 8UC1 and 8UC3 say nothing about colour; they are taken as OpenCV's grey and BGR, as usual.
_FORMATS = {
    'rgb8': _Layout(np.uint8, 3, None),
    'bgr8': _Layout(np.uint8, 3, cv2.COLOR_BGR2RGB),
    '8UC3': _Layout(np.uint8, 3, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout(np.uint8, 4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout(np.uint8, 4, cv2.COLOR_BGRA2RGB),
    'mono8': _Layout(np.uint8, 1, cv2.COLOR_GRAY2RGB),
    '8UC1': _Layout(np.uint8, 1, cv2.COLOR_GRAY2RGB),
    'rgb16': _Layout(np.uint16, 3, None),
    'bgr16': _Layout(np.uint16, 3, cv2.COLOR_BGR2RGB),
    'rgba16': _Layout(np.uint16, 4, cv2.COLOR_RGBA2RGB),
    'bgra16': _Layout(np.uint16, 4, cv2.COLOR_BGRA2RGB),
    'mono16': _Layout(np.uint16, 1, cv2.COLOR_GRAY2RGB),
    '16UC1': _Layout(np.uint16, 1, cv2.COLOR_GRAY2RGB),
    'bayer_rggb8': _Layout(np.uint8, 1, cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr8': _Layout(np.uint8, 1, cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg8': _Layout(np.uint8, 1, cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg8': _Layout(np.uint8, 1, cv2.COLOR_BayerGRBG2RGB),
    'bayer_rggb16': _Layout(np.uint16, 1, cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr16': _Layout(np.uint16, 1, cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg16': _Layout(np.uint16, 1, cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg16': _Layout(np.uint16, 1, cv2.COLOR_BayerGRBG2RGB),
    'yuv422': _Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': _Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': _Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': _Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
}
_FLOAT = {'32FC1': _Layout(np.float32, 1, None)}

ENCODINGS = tuple(_FORMATS)  # what decode_image understands and encode_image writes


def decode_image(message: Message) -> np.ndarray:
    """sensor_msgs/Image -> HxWx3 uint8 RGB; for rgb8 a view of the message's own buffer.

    16-bit values span black 0 to white 65535 and are rounded to 8 bits. Raises ValueError for an
    unknown encoding, an empty image, or a buffer that does not fit width, height and step.
    """
    if message.encoding in _SEMIPLANAR:
        return _decode_semiplanar(message)
    if message.encoding not in _FORMATS:
        return _by_cv_bridge(message)
    layout = _lookup(_FORMATS, message.encoding)
    if layout.to_rgb in _PAIRED and message.width % 2:
        raise ValueError(f'a {message.encoding} image has an even width, not {message.width}')
    pixels = _pixels(message, layout)
    if layout.dtype is np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    return pixels if layout.to_rgb is None else cv2.cvtColor(pixels, layout.to_rgb)


_PAIRED = (cv2.COLOR_YUV2RGB_UYVY, cv2.COLOR_YUV2RGB_YUY2)  # two pixels share their colour


# brightness of every pixel, then two colour values for each four pixels, in turn
_SEMIPLANAR = {'nv12': cv2.COLOR_YUV2RGB_NV12, 'nv21': cv2.COLOR_YUV2RGB_NV21}


def _decode_semiplanar(message: Message) -> np.ndarray:
    height, width, step = message.height, message.width, message.step
    rows = height * 3 // 2
    data = np.frombuffer(message.data, np.uint8)
    if width % 2 or height % 2 or not width * height or step < width or step * rows != data.size:
        raise ValueError(
            f'a {width} x {height} {message.encoding} image needs even numbers, a step of at '
            f'least {width} and 1.5 x step x height bytes; it has {step} and {data.size} bytes'
        )
    check_pixels(width, height, 'the image')
    planes = np.ascontiguousarray(data.reshape(rows, step)[:, :width])
    return cv2.cvtColor(planes, _SEMIPLANAR[message.encoding])


def _by_cv_bridge(message: Message) -> np.ndarray:
    """Rare encodings, where ROS's own conversion is installed."""
    encoding = printable(message.encoding)
    try:
        from cv_bridge import CvBridge
    except ImportError:
        known = ', '.join((*_FORMATS, *_SEMIPLANAR))
        raise ValueError(
            f'image encoding {encoding!r} is not supported here; known: {known}, and what '
            'cv_bridge converts to rgb8, where it is installed'
        ) from None
    try:
        image = np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding='rgb8'))
    except Exception as error:  # CvBridgeError, and whatever else it raises
        raise ValueError(f'cv_bridge cannot convert encoding {encoding!r}: {error}') from error
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'cv_bridge made {image.dtype} of shape {image.shape} of {encoding!r}')
    return image


def decode_labels(message: Message) -> np.ndarray:
    """sensor_msgs/Image mono8 or 8UC1 -> HxW uint8 view (class ids, parts). Errors as above."""
    labels = {name: _FORMATS[name] for name in ('mono8', '8UC1')}
    return _pixels(message, _lookup(labels, message.encoding))


def decode_float(message: Message) -> np.ndarray:
    """sensor_msgs/Image 32FC1 -> HxW float32 view (depth, disparity). Errors as decode_image."""
    return _pixels(message, _lookup(_FLOAT, message.encoding))


def decode_planes(message: Message) -> np.ndarray:
    """sensor_msgs/Image 32FC<n> -> HxWxn float32 view (probabilities). Errors as above."""
    pixels = _pixels(message, _lookup(_planes(message.encoding), message.encoding))
    return pixels.reshape(*pixels.shape[:2], -1)


def decode_compressed(message: Message) -> np.ndarray:
    """sensor_msgs/CompressedImage (jpeg, png) -> HxWx3 uint8 RGB.

    The bytes say themselves what they are, so `format` serves only the error. Raises ValueError
    if they are no image that OpenCV can read.
    """
    data = np.frombuffer(message.data, np.uint8)
    what = f'{data.size} bytes of compressed image (format {printable(message.format)!r})'
    if (video := message.format.split(';')[0].strip().lower()) in _VIDEO:
        raise ValueError(f'{what}: {video} is video, not images; send JPEG or PNG')
    return cv2.cvtColor(decode(data, what), cv2.COLOR_BGR2RGB)


_VIDEO = ('h264', 'h265', 'hevc', 'av1', 'vp8', 'vp9')  # ffmpeg_image_transport, foxglove


def encode_image(array: np.ndarray, encoding: str) -> dict[str, object]:
    """Array -> fields of a sensor_msgs/Image (all but the header); data is bytes.

    Nothing is converted: the array has the shape, dtype and channel order that `encoding` names
    (HxWx3 uint8 for rgb8, HxW uint8 for mono8, HxW float32 for 32FC1, HxWxn for 32FC<n> ...);
    ValueError if not.
    """
    layout = _lookup(_FORMATS | _planes(encoding), encoding)
    shape = array.shape[:2] if layout.channels == 1 else (*array.shape[:2], layout.channels)
    if array.ndim < 2 or array.shape != shape or array.dtype != layout.dtype or not array.size:
        raise ValueError(
            f'{encoding} needs {np.dtype(layout.dtype).name} pixels with {layout.channels} '
            f'channel(s), got {array.dtype.name} of shape {array.shape}'
        )
    height, width = array.shape[:2]
    return {
        'height': height,
        'width': width,
        'encoding': encoding,
        'is_bigendian': 0,
        'step': width * layout.channels * array.itemsize,
        'data': array.tobytes(),
    }


def _planes(encoding: str) -> dict[str, _Layout]:
    """Layouts of floats: that of `encoding` if it is 32FC<n>, as image_encodings.hpp names it."""
    match = re.fullmatch(r'32FC([1-9]\d*)', encoding)
    return _FLOAT | ({encoding: _Layout(np.float32, int(match[1]), None)} if match else {})


def _lookup(formats: dict[str, _Layout], encoding: str) -> _Layout:
    if encoding not in formats:
        raise ValueError(
            f'image encoding {printable(encoding)!r} is not supported here; known: '
            + ', '.join(formats)
        )
    return formats[encoding]


def _pixels(message: Message, layout: _Layout) -> np.ndarray:
    """View of the message's buffer, HxW or HxWxC in native byte order (copied only to swap)."""
    height, width, step = message.height, message.width, message.step
    dtype = np.dtype(layout.dtype).newbyteorder('>' if message.is_bigendian else '<')
    data = np.frombuffer(message.data, np.uint8)
    row = width * layout.channels * dtype.itemsize
    if row == 0 or height == 0:
        raise ValueError(f'the image is empty ({width} x {height})')
    check_pixels(width, height, 'the image')
    if step < row or step * height != data.size:
        raise ValueError(
            f'a {width} x {height} {message.encoding} image needs a step of at least {row} and '
            f'step x height bytes; it has step {step} and {data.size} bytes'
        )
    shape = (height, width) if layout.channels == 1 else (height, width, layout.channels)
    strides = (step, layout.channels * dtype.itemsize, dtype.itemsize)[: len(shape)]
    view: np.ndarray = np.ndarray(shape, dtype, data, strides=strides)
    return view.astype(layout.dtype, copy=False)
