"""Resizing, painting, presence and the feature stream; none of it needs a network."""

import threading

import numpy as np
import pytest
from golden_recipe import GOLDEN, rng, texture

from surgseg_ros import networks
from surgseg_ros.networks.sam_canvas import frame_on_canvas
from surgseg_ros.predictors.antialiasing import resize
from surgseg_ros.predictors.feature_stream import FeatureStream
from surgseg_ros.predictors.sam_input import SamInput
from surgseg_ros.predictors.surgicalsam_masks import MaskScaler, presence


def test_the_input_is_that_of_sams_own_code():
    golden, known = np.load(GOLDEN / 'sam_vit_b_encoder.npz'), networks.spec('surgicalsam')
    image = texture('sam', 1024, 1280, cell=64)
    assert frame_on_canvas(1024, 1280) == (819, 1024)
    np.testing.assert_array_equal(resize(image, 819, 1024)[::16, ::16], golden['resized'])
    tensor = SamInput(1024, 1280, known.mean, known.std)(image)
    np.testing.assert_allclose(tensor[:, :, ::32, ::32], golden['preprocessed'], rtol=0, atol=1e-5)
    assert (tensor[:, :, 819:] == 0).all()


@pytest.mark.parametrize('size', [(1024, 1280), (544, 960), (1, 1), (37, 11), (5, 700)])
@pytest.mark.parametrize('canvas', [1024, 512, 48])
def test_resizing_is_pillows(size, canvas):
    image_module = pytest.importorskip('PIL.Image', reason='the reference')
    image = rng('pillow').randint(0, 256, (*size, 3)).astype(np.uint8)
    height, width = frame_on_canvas(*size, canvas)
    expected = image_module.fromarray(image).resize((width, height), 2)
    np.testing.assert_array_equal(resize(image, height, width), np.asarray(expected))


def blobs(count):
    """Make count x 256 x 256 float32: smooth, of all signs, with masks that overlap."""
    y, x = np.mgrid[:256, :256] / 40
    return np.stack(
        [np.sin(x + i) + np.cos(1.7 * y - 0.6 * i) - 0.4 for i in range(count)]
    ).astype(np.float32)


@pytest.mark.parametrize('size', [(1024, 1280), (544, 960), (100, 37), (300, 1600)])
def test_painting_is_the_published_one(size):
    torch = pytest.importorskip('torch', reason='the reference')
    from surgseg_ros.networks.surgicalsam import upscale_masks

    logits, class_ids = blobs(4), np.array([3, 1, 7, 2])
    scaler = MaskScaler(*size)
    planes, (height, width) = torch.from_numpy(logits)[:, None], frame_on_canvas(*size)
    canvas = torch.nn.functional.interpolate(planes, (1024, 1024), mode='bilinear')
    enlarged = torch.nn.functional.interpolate(
        canvas[..., :height, :width], size, mode='bilinear'
    )[:, 0].numpy()
    np.testing.assert_allclose(upscale_masks(planes, size)[:, 0], enlarged, rtol=0, atol=1e-4)
    np.testing.assert_allclose(scaler.upscale(logits), enlarged, rtol=0, atol=1e-4)
    labels = np.zeros(size, np.uint8)
    for class_id, mask in zip(class_ids, enlarged, strict=True):
        labels[mask > 0] = class_id
    sure = (np.abs(enlarged) > 1e-4).all(axis=0)
    assert sure.mean() > 0.99 and len(np.unique(labels)) == 5
    np.testing.assert_array_equal(scaler.paint(logits, class_ids)[sure], labels[sure])


def test_nothing_to_paint_is_background():
    scaler = MaskScaler(48, 64)
    for logits in (np.zeros((0, 256, 256)), np.full((2, 256, 256), -1.0)):
        labels = scaler.paint(logits, np.arange(1, len(logits) + 1))
        assert labels.shape == (48, 64) and labels.dtype == np.uint8 and not labels.any()


def scene():
    """Features with class 2 in the left half and class 1 in the right, and the prototypes."""
    prototypes = np.eye(3, 256, dtype=np.float32) * 5
    features = np.zeros((64, 64, 256), np.float32)
    features[:, :32] = prototypes[1] * 3
    features[:, 32:] = prototypes[0] * 3
    return features, prototypes


def test_presence_is_confidence_times_resemblance():
    features, prototypes = scene()
    logits = np.full((4, 256, 256), -9, np.float32)
    logits[0, :, 8:100] = 9  # on class 2, prompted as 2
    logits[1, :, 8:100] = 9  # on class 2, prompted as 1
    logits[2, :, 140:200] = 0.2  # on class 1, prompted as 1, but hardly sure
    there = presence(logits, np.array([2, 1, 1, 3]), features, prototypes)  # 3 has no mask
    assert there[0] > 0.99 and there[1] < 0.01 and there[3] == 0
    assert there[2] == pytest.approx(1 / (1 + np.exp(-0.2)), abs=1e-3)


def test_presence_ignores_the_padding():
    features, prototypes = scene()
    logits = np.full((1, 256, 256), -9, np.float32)
    logits[0, 210:] = 9
    class_ids = np.array([2])
    assert presence(logits, class_ids, features, prototypes)[0] > 0
    content = MaskScaler(1024, 1280).content
    assert content == (205, 256)
    assert presence(logits, class_ids, features, prototypes, content)[0] == 0


def numbers(stream, frames):
    return [stream(np.full(1, frame)) for frame in frames]


def test_every_kth_frame_is_encoded():
    seen = []
    stream = FeatureStream(lambda image: seen.append(image[0]) or image.copy(), every=3)
    assert [(int(f[0]), age) for f, age in numbers(stream, range(7))] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (3, 0),
        (3, 1),
        (3, 2),
        (6, 0),
    ]
    assert seen == [0, 3, 6]
    stream.every = 1
    assert numbers(stream, [7])[0][1] == 0
    stream.reset()
    stream.every = 9
    assert [age for _, age in numbers(stream, [8, 9])] == [0, 1]


def test_frames_do_not_wait_for_the_encoder_after_the_first():
    go, begun = threading.Semaphore(1), threading.Semaphore(0)

    def encode(image):
        begun.release()
        assert go.acquire(timeout=20)
        return image.copy()

    stream = FeatureStream(encode, asynchronous=True)
    ages = [age for _, age in numbers(stream, range(4))]  # 0 is encoded, 1 is being encoded
    assert ages == [0, 1, 2, 3]
    go.release()
    stream._pending.result(timeout=20)
    features, age = stream(np.full(1, 4))
    assert (features[0], age) == (1, 3)
    assert begun.acquire(timeout=20) and begun.acquire(timeout=20) and begun.acquire(timeout=20)
    stream.asynchronous = False  # from now on frames wait
    go.release(2)
    assert [age for _, age in numbers(stream, [5, 6])] == [1, 0]


def test_what_the_encoder_raises_reaches_the_frame():
    def encode(image):
        if image[0]:
            raise OSError('lost')
        return image

    stream = FeatureStream(encode)
    stream(np.zeros(1))
    with pytest.raises(OSError, match='lost'):
        stream(np.ones(1))
    assert stream(np.zeros(1))[1] == 0
