import zlib

import numpy as np
import pytest
from golden_recipe import GOLDEN, fill_network, stereo_pair, texture
from replay import Replay

from surgseg_ros import backends, networks, predictors
from surgseg_ros.predictors.preprocess import Normaliser

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Return weights(name): a checkpoint with deterministic weights."""
    folder = tmp_path_factory.mktemp('weights')

    def path(name):
        file = folder / f'{name}.pt'
        if not file.exists():
            torch.save(fill_network(networks.create(name)).state_dict(), file)
        return file

    return path


@pytest.fixture
def replay(monkeypatch, weights):
    """Return replay(*outputs, **options): a predictor whose network gives these outputs."""

    def make(*outputs, **options):
        backend = Replay(*outputs)
        monkeypatch.setattr(backends, 'create', lambda *_, **__: backend)
        return predictors.create('msdesis_light', weights=weights('msdesis_light'), **options)

    return make


@pytest.fixture(scope='module')
def prepost():
    golden = np.load(GOLDEN / 'msdesis_prepost.npz')
    frame = texture('prepost', 100, 150)
    assert zlib.crc32(frame.tobytes()) == golden['images_crc32'][0]
    return frame, golden


@pytest.mark.parametrize('name', ['msdesis_light', 'msdesis_resnet34'])
def test_predictions_are_what_the_authors_scripts_write(name, weights):
    golden = np.load(GOLDEN / f'{name}_256x320.npz')
    predictor = predictors.create(name, weights=weights(name), backend='torch', device='cpu')
    result = predictor.predict(*stereo_pair('msdesis', 256, 320))
    expected = golden['d0'][0, 0]
    disparity = result.disparity[::3, ::3]
    assert result.disparity.shape == (256, 320) and result.disparity.dtype == np.float32
    np.testing.assert_allclose(disparity[expected > 1e-3], expected[expected > 1e-3], atol=1e-3)
    assert np.isnan(disparity[expected < -1e-3]).all()
    # the file holds truncated 128ths: a difference of 1e-3 px may cross to the next one
    written = np.nan_to_num(disparity) * 128
    assert np.abs(written.astype(int) - golden['disp_u16_scale128'].astype(int)).max() <= 1
    sure = np.abs(golden['seg_logits'][0, 0]) > 5e-4
    assert ((result.tool_mask[::3, ::3] * 255 == golden['seg_u8_thr05']) | ~sure).all()
    assert result.class_names == ('tissue', 'tool')
    assert set(result.milliseconds) == {'preprocess', 'inference', 'postprocess'}


def test_preprocessing_is_the_authors(prepost, replay):
    frame, golden = prepost
    predictor = replay(golden['disp'], golden['seg_logits'])
    predictor.predict(frame, frame)
    ((left, right),) = predictor._backend.inputs
    assert left.shape == (1, 3, 128, 160)
    np.testing.assert_allclose(left[:, :, ::3, ::3], golden['tensor'], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(left, right)
    assert (left[:, :, 100:] == 0).all() and (left[..., 150:] == 0).all()


def test_postprocessing_is_the_authors(prepost, replay):
    frame, golden = prepost
    result = replay(golden['disp'], golden['seg_logits']).predict(frame, frame)
    assert result.disparity.shape == result.tool_mask.shape == (100, 150)
    raw = golden['disp'][0, 0, :100, :150]
    np.testing.assert_array_equal(np.isnan(result.disparity), raw <= 0)
    written = np.nan_to_num(result.disparity)
    np.testing.assert_array_equal(written.astype(np.uint8), golden['disp_u8'])
    np.testing.assert_array_equal((written * 128).astype(np.uint16), golden['disp_u16'])
    np.testing.assert_array_equal(result.tool_mask * 255, golden['seg_u8'])


def test_threshold_is_a_probability_and_live(replay):
    image = np.zeros((32, 32, 3), np.uint8)
    logits = np.linspace(-5, 5, 32 * 32, dtype=np.float32).reshape(1, 1, 32, 32)
    predictor = replay(np.ones_like(logits), logits)
    for threshold in (0.5, 0.9, 0.02):
        predictor.threshold = threshold
        expected = 1 / (1 + np.exp(-logits[0, 0])) > threshold
        np.testing.assert_array_equal(predictor.predict(image, image).tool_mask, expected)
    predictor.threshold = 1.0
    with pytest.raises(ValueError, match='threshold is 1, expected between 0 and 1'):
        predictor.predict(image, image)


@pytest.mark.parametrize('size', [(64, 96), (33, 70), (32, 32), (1, 1)])
def test_any_size_is_padded_and_cropped(size, weights):
    left, right = stereo_pair('padding', *size)
    path = weights('msdesis_light')
    predictor = predictors.create('msdesis_light', weights=path, backend='torch', device='cpu')
    result = predictor.predict(left, right)
    assert result.disparity.shape == result.tool_mask.shape == size

    spec = networks.spec('msdesis_light')
    padded = [
        np.zeros((1, 3, -(-size[0] // 32) * 32, -(-size[1] // 32) * 32), np.float32)
        for _ in range(2)
    ]
    for tensor, image in zip(padded, (left, right), strict=True):
        values = (image / 255 - np.array(spec.mean)) / np.array(spec.std)
        tensor[0, :, : size[0], : size[1]] = values.transpose(2, 0, 1)
    network = fill_network(networks.create('msdesis_light'))
    with torch.inference_mode():
        disparity, logits = (
            x[0, 0, : size[0], : size[1]].numpy()
            for x in network.infer(*map(torch.from_numpy, padded))
        )
    positive = disparity > 1e-3
    np.testing.assert_allclose(result.disparity[positive], disparity[positive], atol=1e-3)
    sure = np.abs(logits) > 5e-4
    np.testing.assert_array_equal(result.tool_mask[sure], logits[sure] > 0)


def test_a_mode_gives_only_what_it_computes(weights):
    pair = stereo_pair('mode', 64, 96)
    path = weights('msdesis_light')
    both, disparity, segmentation = (
        predictors.create(
            'msdesis_light', weights=path, backend='torch', device='cpu', mode=mode
        ).predict(*pair)
        for mode in ('multitask', 'disparity', 'segmentation')
    )
    assert disparity.tool_mask is None and np.isnan(segmentation.disparity).all()
    np.testing.assert_allclose(disparity.disparity, both.disparity, atol=1e-4)
    np.testing.assert_array_equal(segmentation.tool_mask, both.tool_mask)
    with pytest.raises(ValueError, match="mode is 'encoder', expected one of multitask"):
        predictors.create('msdesis_light', weights=path, mode='encoder')


def test_results_outlive_the_next_prediction_and_a_new_size(weights):
    predictor = predictors.create(
        'msdesis_light', weights=weights('msdesis_light'), backend='torch', device='cpu'
    )
    pair, other = stereo_pair('one', 64, 96), stereo_pair('two', 64, 96)
    first = predictor.predict(*pair)
    kept = first.disparity.copy(), first.tool_mask.copy()
    predictor.predict(*other)
    assert predictor.predict(*stereo_pair('three', 32, 64)).disparity.shape == (32, 64)
    np.testing.assert_array_equal(first.disparity, kept[0])
    np.testing.assert_array_equal(first.tool_mask, kept[1])
    np.testing.assert_array_equal(predictor.predict(*pair).disparity, kept[0])


def test_what_is_missing_or_wrong_is_said_in_a_sentence(weights, tmp_path):
    with pytest.raises(ValueError, match='authors publish them at https://github.com/dimitrisPs'):
        predictors.create('msdesis_light')
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        predictors.create('msdesis_light', weights=tmp_path / 'nothing.pt')
    predictor = predictors.create(
        'msdesis_resnet34', weights=weights('msdesis_light'), backend='torch'
    )
    image = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match='looks like msdesis_light'):
        predictor.predict(image, image)
    with pytest.raises(ValueError, match='differ in size'):
        predictor.predict(image, image[:16])


def test_normalising_is_exact_for_every_value():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    tensor = Normaliser(16, 16, mean, std, multiple=32)(image)
    expected = (image / 255 - np.array(mean)) / np.array(std)
    assert tensor.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(tensor[0, :, :16, :16], expected.transpose(2, 0, 1), atol=1e-6)
    assert (tensor[..., 16:] == 0).all()


def test_outputs_that_are_not_finite_reject_the_frame(replay):
    image, plane = np.zeros((32, 32, 3), np.uint8), np.ones((1, 1, 32, 32), np.float32)
    with pytest.raises(ValueError, match='1024 of 2048 outputs of msdesis_light are not finite'):
        replay(plane, plane * np.nan).predict(image, image)
