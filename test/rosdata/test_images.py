"""surgseg_ros.rosdata.images: real pixels through every encoding, and clear refusals."""

import sys
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from surgseg_ros.bags import make_message
from surgseg_ros.rosdata import images, messages


def message(pixels: np.ndarray, encoding: str, padding: int = 0, bigendian: int = 0, **fields):
    """An Image message as rclpy delivers it (data is array.array), each row padded by bytes."""
    rows = pixels.reshape(pixels.shape[0], -1)
    rows = rows.view(np.uint8) if not bigendian else rows.byteswap().view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    values = {
        'height': pixels.shape[0],
        'width': pixels.shape[1],
        'encoding': encoding,
        'is_bigendian': bigendian,
        'step': rows.shape[1],
        'data': array('B', rows.tobytes()),
    }
    return SimpleNamespace(**(values | fields))


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def with_alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 7, image.dtype)])


def bayer(image: np.ndarray, pattern: str) -> np.ndarray:
    """What a sensor with this colour filter sees of an RGB image (pattern as ROS names it)."""
    mosaic = np.empty(image.shape[:2], image.dtype)
    for index, colour in enumerate(pattern):
        row, column = divmod(index, 2)
        mosaic[row::2, column::2] = image[row::2, column::2, 'rgb'.index(colour)]
    return mosaic


def yuv422(colour: tuple[int, int, int], order: str) -> np.ndarray:
    """8x8 image of one colour as packed YUV 4:2:2, BT.601 limited range."""
    red, green, blue = colour
    y = round(16 + 0.257 * red + 0.504 * green + 0.098 * blue)
    u = round(128 - 0.148 * red - 0.291 * green + 0.439 * blue)
    v = round(128 + 0.439 * red - 0.368 * green - 0.071 * blue)
    return np.tile(
        np.array([{'y': y, 'u': u, 'v': v}[c] for c in order], np.uint8), (8, 4)
    ).reshape(8, 8, 2)


@pytest.mark.parametrize('padding', [0, 5])
def test_colour_orders(rgb: np.ndarray, padding: int) -> None:
    bgr = rgb[..., ::-1].copy()
    for pixels, encoding in [
        (rgb, 'rgb8'),
        (bgr, 'bgr8'),
        (bgr, '8UC3'),
        (with_alpha(rgb), 'rgba8'),
        (with_alpha(bgr), 'bgra8'),
    ]:
        decoded = images.decode_image(message(pixels, encoding, padding))
        np.testing.assert_array_equal(decoded, rgb, encoding)


def test_grey(rgb: np.ndarray) -> None:
    grey = rgb[..., 0].copy()
    for encoding in ('mono8', '8UC1'):
        decoded = images.decode_image(message(grey, encoding, padding=3))
        np.testing.assert_array_equal(decoded, np.dstack([grey] * 3))
        np.testing.assert_array_equal(images.decode_labels(message(grey, encoding)), grey)


@pytest.mark.parametrize('bigendian', [0, 1])
def test_16_bit(rgb: np.ndarray, bigendian: int) -> None:
    deep = rgb.astype(np.uint16) * 257  # 255 -> 65535
    bgr = deep[..., ::-1].copy()
    for pixels, encoding in [
        (deep, 'rgb16'),
        (bgr, 'bgr16'),
        (with_alpha(deep), 'rgba16'),
        (with_alpha(bgr), 'bgra16'),
    ]:
        decoded = images.decode_image(message(pixels, encoding, 4, bigendian))
        np.testing.assert_array_equal(decoded, rgb, encoding)
    for encoding in ('mono16', '16UC1'):
        decoded = images.decode_image(message(deep[..., 1].copy(), encoding, 2, bigendian))
        np.testing.assert_array_equal(decoded, np.dstack([rgb[..., 1]] * 3))


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('colour', [(250, 0, 0), (0, 250, 0), (0, 0, 250), (200, 120, 40)])
def test_bayer_colours(pattern: str, colour: tuple[int, int, int]) -> None:
    flat = np.full((16, 16, 3), colour, np.uint8)
    decoded = images.decode_image(message(bayer(flat, pattern), f'bayer_{pattern}8'))
    np.testing.assert_array_equal(decoded, flat)
    deep = bayer(flat, pattern).astype(np.uint16) * 257
    decoded = images.decode_image(message(deep, f'bayer_{pattern}16', bigendian=1))
    np.testing.assert_array_equal(decoded, flat)


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('yuv422', 'uyvy'), ('uyvy', 'uyvy'), ('yuv422_yuy2', 'yuyv'), ('yuyv', 'yuyv')],
)
@pytest.mark.parametrize('colour', [(220, 30, 30), (30, 220, 30), (30, 30, 220), (128, 128, 128)])
def test_yuv422_colours(encoding: str, order: str, colour: tuple[int, int, int]) -> None:
    decoded = images.decode_image(message(yuv422(colour, order), encoding, padding=2))
    assert np.abs(decoded.astype(int) - colour).max() <= 3  # 8-bit YUV is that coarse


def test_rgb8_is_a_view(rgb: np.ndarray) -> None:
    incoming = message(rgb, 'rgb8', padding=4)
    decoded = images.decode_image(incoming)
    assert np.shares_memory(decoded, np.frombuffer(incoming.data, np.uint8))


def test_compressed(rgb: np.ndarray) -> None:
    big = cv2.resize(rgb, (64, 48), interpolation=cv2.INTER_LINEAR)
    for suffix, tolerance in (('png', 0), ('jpeg', 40)):
        data = cv2.imencode(f'.{suffix}', cv2.cvtColor(big, cv2.COLOR_RGB2BGR))[1].tobytes()
        incoming = SimpleNamespace(format=f'rgb8; {suffix} compressed bgr8', data=array('B', data))
        difference = np.abs(images.decode_compressed(incoming).astype(int) - big)
        assert difference.max() <= tolerance and difference.mean() < 5, suffix


@pytest.mark.parametrize('data', [b'', b'no image at all'])
def test_broken_compressed(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytes of compressed image \(format 'jpeg'\)"):
        images.decode_compressed(SimpleNamespace(format='jpeg', data=data))


@pytest.mark.parametrize(
    ('fields', 'sentence'),
    [
        ({'encoding': 'nv24'}, "encoding 'nv24' is not supported"),
        ({'encoding': ''}, "encoding '' is not supported"),
        ({'encoding': '32FC1'}, 'not supported'),
        ({'height': 0}, r'empty \(8 x 0\)'),
        ({'width': 0}, 'empty'),
        ({'step': 23}, 'step of at least 24'),
        ({'step': 25}, 'step 25 and 144 bytes'),
        ({'height': 7}, 'step 24 and 144 bytes'),
        ({'data': b''}, '0 bytes'),
        ({'encoding': 'yuv422', 'width': 7}, 'even width, not 7'),
    ],
)
def test_wrong_messages(rgb: np.ndarray, fields: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        images.decode_image(message(rgb, **({'encoding': 'rgb8'} | fields)))


@pytest.mark.parametrize('encoding', ['rgb8', 'bgra8', 'mono8', 'mono16', 'rgb16', '32FC1'])
def test_encode_is_the_inverse(encoding: str) -> None:
    channels = {'rgb': 3, 'bgra': 4}.get(encoding.rstrip('0168'), 1)
    dtype = {'32FC1': np.float32}.get(encoding, np.uint16 if '16' in encoding else np.uint8)
    pixels = np.arange(6 * 4 * channels).astype(dtype).reshape(6, 4, channels).squeeze()
    fields = images.encode_image(pixels, encoding)
    back = np.frombuffer(fields['data'], dtype).reshape(pixels.shape)
    np.testing.assert_array_equal(back, pixels)
    assert fields['step'] * fields['height'] == len(fields['data'])
    if encoding == '32FC1':
        decoded = images.decode_float(SimpleNamespace(**fields))
        np.testing.assert_array_equal(decoded, pixels)
    else:
        assert images.decode_image(SimpleNamespace(**fields)).shape == (6, 4, 3)


@pytest.mark.parametrize(
    'pixels',
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
)
def test_encode_refuses_other_arrays(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r'rgb8 needs uint8 pixels with 3 channel\(s\), got'):
        images.encode_image(pixels, 'rgb8')


@pytest.mark.parametrize('count', [1, 2, 7, 12])
def test_any_number_of_float_planes_comes_back(count: int) -> None:
    planes = np.random.default_rng(count).random((count, 5, 6)).astype(np.float32)
    sent = messages.probabilities_image(make_message, make_message('std_msgs/msg/Header'), planes)
    assert sent.encoding == f'32FC{count}'
    np.testing.assert_array_equal(np.moveaxis(images.decode_planes(sent), -1, 0), planes)


@pytest.mark.parametrize('encoding', ['32FC0', '32FC', '64FC2', 'x32FC2'])
def test_planes_of_another_kind_are_refused(encoding: str) -> None:
    with pytest.raises(ValueError, match='not supported'):
        images.encode_image(np.zeros((2, 2), np.float32), encoding)


# Brightness and colour in planes; encodings that only cv_bridge knows.


@pytest.mark.parametrize(('encoding', 'order'), [('nv12', (0, 1)), ('nv21', (1, 0))])
@pytest.mark.parametrize('padding', [0, 6])
def test_semiplanar_colours(encoding: str, order: tuple[int, int], padding: int) -> None:
    colour = (200, 60, 40)
    y, u, v = cv2.cvtColor(np.uint8([[colour]]), cv2.COLOR_RGB2YUV)[0, 0]
    luma = np.full((4, 8 + padding), 16 + round(0.859 * int(y)), np.uint8)
    chroma = np.zeros((2, 8 + padding), np.uint8)
    planes = [
        round(128 + (int(u) - 128) * 0.4415 / 0.492),
        round(128 + (int(v) - 128) * 0.7 / 0.877),
    ]
    chroma[:, 0:8:2], chroma[:, 1:8:2] = planes[order[0]], planes[order[1]]
    data = np.vstack([luma, chroma])
    fields = {'height': 4, 'width': 8, 'step': 8 + padding, 'is_bigendian': 0}
    incoming = SimpleNamespace(encoding=encoding, data=array('B', data.tobytes()), **fields)
    decoded = images.decode_image(incoming)
    assert decoded.shape == (4, 8, 3)
    assert np.abs(decoded.astype(int) - colour).max() < 25
    with pytest.raises(
        ValueError, match=f'a 8 x 4 {encoding} image needs even numbers, a step of'
    ):
        images.decode_image(SimpleNamespace(encoding=encoding, data=array('B', [0]), **fields))


def test_rare_encodings_go_through_cv_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    class CvBridge:
        """The interface of cv_bridge, where it is not installed."""

        def imgmsg_to_cv2(self, message, desired_encoding: str = 'passthrough'):
            if message.encoding == 'broken':
                raise RuntimeError('no such conversion')
            assert (message.encoding, desired_encoding) == ('nv24', 'rgb8')
            return np.full((message.height, message.width, 3), 7, np.uint8)

    monkeypatch.setitem(sys.modules, 'cv_bridge', SimpleNamespace(CvBridge=CvBridge))
    incoming = SimpleNamespace(encoding='nv24', height=2, width=3)
    np.testing.assert_array_equal(images.decode_image(incoming), np.full((2, 3, 3), 7))
    with pytest.raises(ValueError, match="cannot convert encoding 'broken': no such conversion"):
        images.decode_image(SimpleNamespace(encoding='broken'))


def test_compressed_video_is_named() -> None:
    incoming = SimpleNamespace(format='h264', data=b'\0\0\0\1')
    with pytest.raises(ValueError, match='h264 is video, not images; send JPEG or PNG'):
        images.decode_compressed(incoming)


def test_huge_images_are_refused_unseen() -> None:
    head = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + (30_000).to_bytes(4, 'big') * 2
    with pytest.raises(ValueError, match='30000x30000, 900 million pixels'):
        images.decode_compressed(SimpleNamespace(format='png', data=head + bytes(20)))
