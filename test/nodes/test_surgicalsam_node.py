"""semantic_node with SurgicalSAM: whose features it uses, and its live parameters."""

from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from golden_recipe import texture
from harness import Graph, graph, wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from surgseg_ros import networks, predictors
from surgseg_ros.networks.card import Card
from surgseg_ros.rosdata.images import decode_labels

torch = pytest.importorskip('torch', reason='networks need torch')

SIZE = (96, 128)
FIRST, SECOND = texture('first', *SIZE), texture('second', *SIZE)
OPTIONS = {'encoder': 'mobilenet_v2', 'num_classes': 3, 'grid': 16}
CARD = Card(
    'surgicalsam',
    OPTIONS,
    ('background', 'hook', 'scissors', 'forceps'),
    {'encoder_size': 256, 'quality_threshold': 0.0, 'presence_threshold': 0.0},
)
CLASSES = [1, 2]  # always two, for each number of them is another export
DOUBLE, INTEGERS = 3, 7  # rcl_interfaces/msg/ParameterType


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make random weights whose card accepts every mask; exports live as long as this module."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp('surgicalsam')
    torch.manual_seed(1)
    network = networks.create('surgicalsam', **OPTIONS)
    save_file(network.state_dict(), folder / 'tiny.safetensors', metadata=CARD.metadata())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SURGSEG_CACHE', str(folder / 'cache'))
        yield folder / 'tiny.safetensors'


@pytest.fixture(scope='module')
def predictor(weights: Path):
    return predictors.create(
        'surgicalsam', weights=weights, backend='openvino', threads=1, classes=CLASSES
    )


@pytest.fixture(scope='module')
def node(weights: Path, predictor):
    """One node for all tests, which shares the exports of the predictor."""
    predictor.prepare(*SIZE)
    with graph() as made:
        made.start(
            'semantic_node',
            model='surgicalsam',
            weights=str(weights),
            threads=1,
            backend='openvino',
            image_size=f'{SIZE[1]}x{SIZE[0]}',
            encode_every=1000,
            classes=CLASSES,
            max_feature_age=0.0,
        )  # the clock makes steps of a second
        wait_for(lambda: made.status('semantic'), 90, made.report)
        made.listen('segmentation', 'sensor_msgs/msg/Image')
        made.connect_by(lambda: made.send_image(next(made.clock), FIRST), 'semantic')
        yield made


def labels_of(node: Graph, image: np.ndarray) -> np.ndarray:
    stamp = next(node.clock)
    node.send_image(stamp, image)
    return decode_labels(node.answer(stamp, 'segmentation'))


def fresh_labels(predictor, image: np.ndarray) -> np.ndarray:
    predictor.reset()
    return predictor.predict(image).labels


def activate_again(node: Graph) -> None:
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        request = Transition(id=transition)
        assert node.call(ChangeState, 'semantic/change_state', transition=request).success
    node.connect_by(lambda: node.send_image(next(node.clock), SECOND), 'semantic')


def jump_ahead(node: Graph) -> None:
    for _ in range(60):
        next(node.clock)


@pytest.mark.parametrize('interrupt', [activate_again, jump_ahead])
def test_features_last_until_the_scene_is_interrupted(node, predictor, interrupt):
    jump_ahead(node)
    first, second = (fresh_labels(predictor, image) for image in (FIRST, SECOND))
    assert (first != second).any() and len(np.unique(first)) > 2
    np.testing.assert_array_equal(labels_of(node, FIRST), first)
    np.testing.assert_array_equal(labels_of(node, SECOND), first)
    assert int(node.fresh_values('semantic')['feature age [frames]']) == 1
    interrupt(node)
    np.testing.assert_array_equal(labels_of(node, SECOND), second)


def test_features_that_are_too_old_reject_the_frame(node):
    def limit(seconds: float) -> None:
        assert node.set_parameter(
            'semantic', 'max_feature_age', type=DOUBLE, double_value=seconds
        ).successful

    jump_ahead(node)
    for _ in range(3):
        labels_of(node, FIRST)
    assert float(node.fresh_values('semantic')['feature age [s]']) == 2.0
    limit(2.5)
    rejected, stamp = int(node.values('semantic')['rejected']), next(node.clock)
    node.send_image(stamp, FIRST)
    wait_for(lambda: int(node.values('semantic')['rejected']) == rejected + 1, 5, node.report)
    assert node.status('semantic').level == DiagnosticStatus.ERROR
    assert node.status('semantic').message == (
        'its features are 3.00 s older than the frame, expected at most max_feature_age = 2.5 s'
    )
    jump_ahead(node)  # another scene has features of its own
    labels_of(node, FIRST)
    limit(0.0)
    assert stamp not in node.stamps('segmentation')


@pytest.mark.parametrize('name', ['quality_threshold', 'presence_threshold'])
def test_a_threshold_below_0_brings_back_that_of_the_weights(node, name):
    usual = labels_of(node, FIRST)
    assert usual.any()
    for value, shown in ((0.9, False), (-1.0, True), (0.9, False), (-0.5, True)):
        assert node.set_parameter('semantic', name, type=DOUBLE, double_value=value).successful
        np.testing.assert_array_equal(labels_of(node, FIRST), usual * shown)


def test_classes_are_chosen_live(node, predictor, monkeypatch):
    monkeypatch.setattr(predictor, 'classes', [2, 3])
    expected = fresh_labels(predictor, FIRST)
    assert 1 not in expected and expected.any()
    assert node.set_parameter(
        'semantic', 'classes', type=INTEGERS, integer_array_value=[2, 3]
    ).successful
    jump_ahead(node)
    np.testing.assert_array_equal(labels_of(node, FIRST), expected)
