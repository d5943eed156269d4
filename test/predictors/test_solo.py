import zlib

import numpy as np
import pytest
from golden_recipe import GOLDEN, fill_network, texture
from replay import Replay

from surgseg_ros import backends, networks, predictors
from surgseg_ros.networks.card import Card

torch = pytest.importorskip('torch', reason='networks need torch')

NAMES = ('background', 'grasper', 'scissors')
SMALL = {'width': 32, 'depth': 1, 'grids': (6, 5, 4, 3, 2)}
GOLDEN_NAMES = ('background', *'abcde')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Weights of a small network for two classes, with a card."""
    from safetensors.torch import save_file

    options = {'num_classes': 2, **SMALL}
    network = fill_network(networks.create('solo_mobilenet', **options))
    card = Card('solo_mobilenet', options, NAMES, {'input_size': [64, 96]})
    path = tmp_path_factory.mktemp('weights') / 'small.safetensors'
    save_file(network.state_dict(), path, metadata=card.metadata())
    return path


def create(weights, **options):
    return predictors.create(
        'solo_mobilenet', weights=weights, backend='torch', device='cpu', **options
    )


@pytest.mark.parametrize('kind', backends.available())
def test_predictions_are_those_of_the_authors_code(tmp_path, kind):
    golden = np.load(GOLDEN / 'solo_r50_5cls_256x320.npz')
    image = texture('solo', 256, 320)
    assert [zlib.crc32(image.tobytes())] == golden['images_crc32'].tolist()
    network = fill_network(networks.create('solo_r50', num_classes=5))
    torch.save(network.state_dict(), tmp_path / 'solo.pt')
    predictor = predictors.create(
        'solo_r50',
        weights=tmp_path / 'solo.pt',
        backend=kind,
        device='cpu',
        precision='f32',
        class_names=GOLDEN_NAMES,
        input_size=(256, 320),
        candidates=1600,
    )
    result = predictor.predict(image)
    np.testing.assert_array_equal(result.class_ids, golden['seg_labels'] + 1)
    np.testing.assert_allclose(result.scores, golden['seg_scores'], atol=1e-3)
    assert np.abs(result.masks.sum(axis=(1, 2)) - golden['seg_areas']).max() <= 2
    for (x0, y0, x1, y1), mask in zip(result.boxes.astype(int), result.masks, strict=True):
        rows, columns = np.nonzero(mask)
        assert (x0, y0) == (columns.min(), rows.min())
        assert (x1, y1) == (columns.max() + 1, rows.max() + 1)
    assert result.class_names == GOLDEN_NAMES and result.parts is None
    assert set(result.milliseconds) == {'preprocess', 'inference', 'postprocess'}


@pytest.mark.parametrize('size', [(64, 96), (96, 64), (128, 192), (37, 91), (1, 1)])
def test_any_size_gives_what_the_network_says(size, weights):
    predictor, image = (
        create(weights, candidates=36),
        texture('any', 200, 200)[: size[0], : size[1]],
    )
    result = predictor.predict(image)
    count = len(result.class_ids)
    assert result.masks.shape == (count, *size) and result.masks.dtype == bool
    assert result.boxes.shape == (count, 4) and set(result.class_ids) <= {1, 2}
    if size != (64, 96):
        return
    network = networks.create('solo_mobilenet', num_classes=2, **SMALL).eval()
    networks.load_checkpoint(network, weights)
    known = networks.spec('solo_mobilenet')
    values = (image / np.float32(255) - np.float32(known.mean)) / np.float32(known.std)
    with torch.inference_mode():
        outputs = network(torch.from_numpy(values.transpose(2, 0, 1)[None]))
    labels, scores, masks = network.decode(*outputs)
    assert count == len(labels) > 0
    np.testing.assert_array_equal(result.class_ids, labels + 1)
    np.testing.assert_allclose(result.scores, scores, atol=1e-3)
    assert (result.masks != masks).mean() < 1e-4


def test_images_are_resized_with_their_aspect_ratio_and_padded(weights, monkeypatch):
    masks = np.zeros((1, 90, 16, 24), np.float32)
    masks[0, 0, :8, :8] = 1
    scores = np.zeros((1, 90, 2), np.float32)
    scores[0, 0, 1] = 0.9
    backend = Replay(masks, scores)
    monkeypatch.setattr(backends, 'create', lambda *_, **__: backend)
    result = create(weights).predict(np.full((100, 200, 3), 255, np.uint8))
    ((tensor,),) = backend.inputs
    # 96 / 200 is the smaller scale: 48 x 96 of 64 x 96 px
    assert tensor.shape == (1, 3, 64, 96)
    assert (tensor[:, :, :48] > 1).all() and (tensor[:, :, 48:] == 0).all()
    np.testing.assert_array_equal(result.class_ids, [2])
    np.testing.assert_allclose(result.scores, [0.9])
    # 32 of 48 rows and 32 of 96 columns of the input are the instance
    np.testing.assert_allclose(result.boxes, [[0, 0, 200 * 32 / 96, 100 * 32 / 48]], atol=1)


def test_an_image_without_instances_gives_an_empty_result(weights, monkeypatch):
    outputs = np.zeros((1, 90, 16, 24), np.float32), np.zeros((1, 90, 2), np.float32)
    monkeypatch.setattr(backends, 'create', lambda *_, **__: Replay(*outputs))
    result = create(weights).predict(np.zeros((50, 70, 3), np.uint8))
    assert result.class_ids.shape == result.scores.shape == (0,)
    assert result.boxes.shape == (0, 4) and result.masks.shape == (0, 50, 70)
    assert result.boxes.dtype == np.float32 and result.masks.dtype == bool


def test_thresholds_and_the_most_instances_are_live(weights):
    predictor, image = create(weights), texture('live', 64, 96)
    some = predictor.predict(image)
    predictor.max_instances = 3
    np.testing.assert_array_equal(predictor.predict(image).masks, some.masks[:3])
    predictor.max_instances, predictor.final_threshold = 100, some.scores[5]
    np.testing.assert_array_equal(predictor.predict(image).scores, some.scores[:6])
    predictor.final_threshold, predictor.score_threshold = 0.05, 0.99999
    assert len(some.class_ids) > len(predictor.predict(image).class_ids)


@pytest.mark.parametrize('kind', ['torch', 'openvino'])
def test_an_unknown_option_on_a_card_is_said_in_a_sentence(tmp_path, kind):
    if kind not in backends.available():
        pytest.skip(f'no {kind} here')
    from safetensors.torch import save_file

    path, card = tmp_path / 'odd.safetensors', Card('solo_mobilenet', {'foo': 1})
    save_file({'a': torch.zeros(1)}, path, metadata=card.metadata())
    predictor = predictors.create('solo_mobilenet', weights=path, backend=kind, device='cpu')
    with pytest.raises(ValueError, match="do not suit solo_mobilenet: .*argument 'foo'"):
        predictor.prepare(64, 96)


def test_a_higher_mask_threshold_leaves_smaller_masks(weights):
    predictor, image = create(weights, max_instances=1), texture('live', 64, 96)
    before = predictor.predict(image).masks.sum()
    predictor.mask_threshold = 0.9
    assert predictor.predict(image).masks.sum() < before


def test_sizes_of_one_input_shape_share_a_backend(weights, monkeypatch):
    outputs, made = (np.zeros((1, 90, 16, 24), np.float32), np.zeros((1, 90, 2), np.float32)), []
    monkeypatch.setattr(
        backends, 'create', lambda *_, model, **__: made.append(model.inputs) or Replay(*outputs)
    )
    predictor = create(weights)
    for size in ((64, 96), (128, 192), (63, 96), (64, 96), (96, 64)):
        predictor.prepare(*size)
    assert made == [{'image': (1, 3, 64, 96)}, {'image': (1, 3, 96, 64)}]


def test_without_a_card_the_shapes_tell_classes_and_attention(tmp_path):
    network = networks.create('solo_mobilenet', num_classes=7, attention=True)
    torch.save(network.state_dict(), tmp_path / 'own.pt')
    predictor = create(tmp_path / 'own.pt', input_size=(64, 64))
    predictor.predict(texture('any', 64, 64))
    assert predictor.class_names == ('background', *(f'class {i}' for i in range(1, 8)))


def test_what_is_missing_or_wrong_is_said_in_a_sentence(weights, tmp_path):
    with pytest.raises(
        ValueError,
        match='needs weights: .* https://github.com/WXinlong/SOLO .lic'
        'ence: non-commercial; solo_r50_fpn_8gpu_3x.$',
    ):
        predictors.create('solo_r50')
    with pytest.raises(ValueError, match='solo_r18 needs weights: its authors publish none, tra'):
        predictors.create('solo_r18')
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        predictors.create('solo_r18', weights=tmp_path / 'nothing.pt')
    with pytest.raises(ValueError, match='are weights of solo_mobilenet, not of solo_r18'):
        predictors.create('solo_r18', weights=weights)
    with pytest.raises(ValueError, match='class_names has 2 names, the network 3 classes'):
        create(weights, class_names=('background', 'tool'))
    with pytest.raises(ValueError, match=r'the image is uint8 \(4, 4\), expected uint8 HxWx3'):
        create(weights).predict(np.zeros((4, 4), np.uint8))


def test_every_instance_network_is_listed():
    assert {'solo_r50', 'solo_r18', 'solo_mobilenet'} <= set(predictors.instance())
    assert set(predictors.instance()) <= set(predictors.available())


def test_outputs_that_are_not_finite_reject_the_frame(weights, monkeypatch):
    masks, scores = np.zeros((1, 90, 16, 24), np.float32), np.zeros((1, 90, 2), np.float32)
    monkeypatch.setattr(backends, 'create', lambda *_, **__: Replay(masks, scores))
    predictor, image = create(weights), np.zeros((50, 70, 3), np.uint8)
    masks[0, 7, 3, 5] = np.nan
    assert not len(predictor.predict(image).scores)  # no cell asks for this mask
    scores[0, 7] = 0.9
    with pytest.raises(ValueError, match='1 of 564 outputs of solo_mobilenet are not finite'):
        predictor.predict(image)
    scores[:] = np.nan
    with pytest.raises(ValueError, match='180 of 180 outputs of solo_mobilenet are not finite'):
        predictor.predict(image)
