"""FASSST on numpy images: any size, every backend, the card of the weights."""

import subprocess
import sys

import numpy as np
import pytest
from golden_recipe import fill_network, texture
from replay import Replay

from surgseg_ros import backends, networks, predictors
from surgseg_ros.frames.results import mask_boxes
from surgseg_ros.networks.card import Card

torch = pytest.importorskip('torch', reason='networks need torch')

OPTIONS = {'size': 128, 'num_classes': 2, 'num_boxes': 9}
NAMES = ('background', 'grasper', 'scissors')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Weights with a card, in a folder that keeps the exports of this module."""
    from safetensors.torch import save_file

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp('fassst')
        patch.setenv('SURGSEG_CACHE', str(folder / 'cache'))
        network = fill_network(networks.create('fassst_small', **OPTIONS))
        card = Card('fassst_small', OPTIONS, NAMES)
        save_file(network.state_dict(), folder / 'a.safetensors', metadata=card.metadata())
        yield folder / 'a.safetensors'


@pytest.fixture(scope='module')
def reference(weights):
    return predictors.create(
        'fassst_small', weights=weights, backend='torch', device='cpu', score_threshold=0.2
    )


@pytest.mark.parametrize('size', [(256, 320), (1080, 1920), (61, 47), (8, 8)])
def test_any_size(reference, size):
    result = reference.predict(texture('any', *size))
    count = len(result.scores)
    assert count > 0
    assert result.masks.shape == (count, *size) and result.masks.dtype == bool
    assert result.masks.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(result.boxes, mask_boxes(result.masks))
    assert set(result.class_ids) <= {1, 2} and result.class_ids.dtype == np.int64
    assert (np.diff(result.scores) <= 0).all() and (result.scores > 0.2).all()
    assert result.class_names == NAMES and result.parts is None
    assert set(result.milliseconds) == {'preprocess', 'inference', 'postprocess'}


@pytest.mark.parametrize('kind', [kind for kind in backends.available() if kind != 'torch'])
def test_backends_agree_with_torch(reference, weights, kind):
    predictor = predictors.create(
        'fassst_small',
        weights=weights,
        backend=kind,
        device='cpu',
        precision='f32',
        score_threshold=0.2,
    )
    for name in ('one', 'two', 'three'):
        image = texture(name, 120, 160)
        expected, found = reference.predict(image), predictor.predict(image)
        np.testing.assert_array_equal(found.class_ids, expected.class_ids)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-4)
        assert (found.masks != expected.masks).mean() < 1e-4


def test_a_cached_export_needs_no_torch(weights):
    code = f"""
import sys
import numpy as np
from surgseg_ros import predictors
predictor = predictors.create(
    'fassst_small', weights={str(weights)!r}, backend='openvino', device='cpu')
predictor.predict(np.zeros((50, 60, 3), np.uint8))
assert 'torch' not in sys.modules and 'onnx' not in sys.modules
"""
    predictors.create('fassst_small', weights=weights, backend='openvino').prepare(50, 60)
    subprocess.run([sys.executable, '-c', code], check=True)


def test_thresholds_are_live(reference, weights):
    predictor = predictors.create('fassst_small', weights=weights, backend='torch', device='cpu')
    image = texture('live', 100, 100)
    predictor.score_threshold = 0.0
    everything = predictor.predict(image)
    predictor.overlap = 0.01
    assert 0 < len(predictor.predict(image).scores) < len(everything.scores)
    predictor.overlap, predictor.mask_threshold = 0.5, 0.99
    strict = predictor.predict(image)
    assert strict.masks.sum() < everything.masks.sum()
    predictor.score_threshold = 1.0
    nothing = predictor.predict(image)
    assert nothing.masks.shape == (0, 100, 100) and nothing.boxes.shape == (0, 4)


def test_without_a_card_the_shapes_tell_the_classes(tmp_path):
    torch.save(
        networks.create('fassst_small', num_classes=7, head_depth=4).state_dict(),
        tmp_path / 'own.pt',
    )
    predictor = predictors.create(
        'fassst_small', weights=tmp_path / 'own.pt', backend='torch', device='cpu'
    )
    predictor.predict(texture('any', 64, 64))
    assert predictor.class_names == ('background', *(f'class {i}' for i in range(1, 8)))


def test_what_is_missing_or_wrong_is_said_in_a_sentence(weights, reference, tmp_path):
    with pytest.raises(ValueError, match='fassst_416 needs weights: its authors publish none'):
        predictors.create('fassst_416')
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        predictors.create('fassst_small', weights=tmp_path / 'nothing.safetensors')
    with pytest.raises(ValueError, match='are weights of fassst_small, not of fassst_416'):
        predictors.create('fassst_416', weights=weights)
    with pytest.raises(ValueError, match='class_names has 2 names, the network 3 classes'):
        predictors.create('fassst_small', weights=weights, class_names=('background', 'tool'))
    with pytest.raises(ValueError, match='expected uint8 HxWx3'):
        reference.predict(np.zeros((8, 8), np.uint8))


@pytest.fixture
def replay(weights, monkeypatch):
    """Return a predictor and its backend, whose answers are nine boxes of nothing."""
    shapes = ((1, 9, 4), (1, 9, 2), (1, 9, 28, 28))
    backend = Replay(*(np.zeros(shape, np.float32) for shape in shapes))
    monkeypatch.setattr(backends, 'create', lambda *_, **__: backend)
    return predictors.create('fassst_small', weights=weights), backend


def test_outputs_that_are_not_finite_reject_the_frame(replay):
    predictor, backend = replay
    image = np.zeros((50, 70, 3), np.uint8)
    assert not len(predictor.predict(image).scores)
    backend.outputs[1][:] = np.nan
    with pytest.raises(ValueError, match='18 of 7110 outputs of fassst_small are not finite'):
        predictor.predict(image)


@pytest.mark.parametrize('size', [(300, 400), (61, 47), (300, 50)])
def test_the_network_sees_what_it_sees_in_training(replay, size):
    from functools import partial

    from surgseg_ros.datasets import InstanceSample
    from surgseg_ros.predictors.preprocess import resize
    from surgseg_ros.training.instances.task import ValidationSamples

    predictor, backend = replay
    image = texture('input', *size)
    frames = [InstanceSample('', image, np.zeros(0, np.int64), np.zeros((0, *size), bool))]
    seen = ValidationSamples(frames, partial(resize, width=128, height=128))[0, 0]['image']
    spec = networks.spec('fassst_small')
    mean, std = (np.float32(x)[:, None, None] for x in (spec.mean, spec.std))
    predictor.predict(image)
    expected = (seen.numpy() / np.float32(255) - mean) / std
    np.testing.assert_allclose(backend.inputs[-1][0][0], expected, rtol=0, atol=1e-6)
