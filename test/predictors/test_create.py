"""predictors.create: which weights, how they run, and what every kind of predictor offers."""

import inspect
from typing import get_args

import numpy as np
import pytest
from golden_recipe import texture

from surgseg_ros import backends, predictors
from surgseg_ros.networks.bundled import bundled_weights
from surgseg_ros.predictors import InstanceName, Runtime, StereoName
from surgseg_ros.predictors.weights import existing_weights

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.mark.parametrize('name', ['lwanet', 'solo_mobilenet'])
def test_bundled_weights_are_found_from_anywhere(tmp_path, monkeypatch, name):
    bundled = bundled_weights(name)
    monkeypatch.chdir(tmp_path)
    assert existing_weights(name, None) == bundled
    assert existing_weights(name, f'models/{bundled.name}') == bundled
    predictor = predictors.create(name, backend='torch', device='cpu', threads=1)
    assert predictor.class_names[0] == 'background' and len(predictor.class_names) > 1


def test_without_weights_it_says_where_they_are_published():
    with pytest.raises(
        ValueError,
        match='msdesis_light needs weights: the authors publish them at '
        'https://github.com/dimitrisPs/msdesis .licence: MIT',
    ):
        predictors.create('msdesis_light')
    with pytest.raises(FileNotFoundError, match='there is no checkpoint none.pt'):
        predictors.create('lwanet', weights='none.pt')


def test_a_runtime_and_its_fields_one_by_one_are_the_same(monkeypatch):
    seen = []

    def create(model, runtime):
        seen.append(runtime)
        raise RuntimeError('enough')

    monkeypatch.setattr(backends, 'create', create)
    runtime = Runtime('torch', 'cpu', 'bf16', 2)
    for options in (
        {'runtime': runtime},
        {'backend': 'torch', 'device': 'cpu', 'precision': 'bf16', 'threads': 2},
        {'runtime': Runtime('openvino', 'cpu', 'bf16', 2), 'backend': 'torch'},
        {'runtime': runtime, 'threads': None},
    ):
        with pytest.raises(RuntimeError, match='enough'):
            predictors.create('lwanet', **options).prepare(64, 96)
    assert seen == [runtime] * 4
    for wrong in ({'backend': 'tpu'}, {'threads': 0}, {'precision': 'int8'}):
        with pytest.raises(ValueError, match='expected'):
            predictors.create('lwanet', **wrong)


def test_an_unknown_name_is_answered_with_those_that_are_known():
    with pytest.raises(ValueError, match="no predictor is called 'lwnet'; known: .*lwanet?"):
        predictors.create('lwnet')
    with pytest.raises(TypeError, match='colour'):
        predictors.create('lwanet', colour='red')


def test_the_types_name_what_is_registered():
    assert set(get_args(StereoName)) == set(predictors.stereo())
    assert set(get_args(InstanceName)) == set(predictors.instance())
    assert set(predictors.available()) == {
        *predictors.stereo(),
        *predictors.semantic(),
        *predictors.instance(),
    }


def settings(protocol):
    """Names of the attributes and methods that a protocol asks for."""
    attributes = [name for one in protocol.__mro__ for name in getattr(one, '__annotations__', {})]
    methods = [name for name, _ in inspect.getmembers(protocol, inspect.isfunction)]
    return {name for name in [*attributes, *methods] if not name.startswith('_')}


@pytest.mark.parametrize(
    ('name', 'protocol'),
    [
        ('sgbm', predictors.StereoPredictor),
        ('lwanet', predictors.SemanticPredictor),
        ('solo_mobilenet', predictors.InstancePredictor),
    ],
)
def test_what_a_kind_promises_is_there(name, protocol):
    predictor = predictors.create(name)
    assert {'class_names', 'prepare', 'predict'} <= settings(protocol)
    assert not [wanted for wanted in settings(protocol) if not hasattr(predictor, wanted)]


def test_a_matcher_without_a_network_takes_the_settings_of_all():
    matcher = predictors.create('sgbm', max_disparity=32)
    matcher.threshold = 0.7
    matcher.prepare(64, 96)
    left = texture('create', 64, 96)
    assert matcher.predict(left, np.roll(left, -4, axis=1)).disparity.shape == (64, 96)
