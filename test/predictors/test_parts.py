import numpy as np
import pytest
from golden_recipe import fill_network, texture

from surgseg_ros import networks, predictors
from surgseg_ros.datasets.endovis17 import CLASS_NAMES
from surgseg_ros.frames.parts import Part, part_named
from surgseg_ros.frames.results import InstanceResult, SemanticResult
from surgseg_ros.networks.bundled import bundled_weights
from surgseg_ros.networks.card import Card
from surgseg_ros.predictors.parts import PartsPredictor

torch = pytest.importorskip('torch', reason='networks need torch')

SIZE = (64, 96)
ON_CPU = {'backend': 'torch', 'device': 'cpu'}


@pytest.mark.parametrize(
    'names, parts',
    [
        (CLASS_NAMES['parts'], (255, 1, 2, 3, 255)),
        (('background', 'shaft', 'wrist', 'claspers'), (255, 1, 2, 3)),
        (
            (
                'background-tissue',
                'instrument-shaft',
                'instrument-clasper',
                'instrument-wrist',
                'kidney-parenchyma',
            ),
            (255, 1, 3, 2, 255),
        ),
        (('Jaws', 'Instrument Shaft', 'wristwatch', 'crankshaft'), (3, 1, 255, 255)),
    ],
)
def test_classes_are_parts_by_their_names(names, parts):
    assert tuple(map(part_named, names)) == parts


class Always:
    """A predictor that always answers the same, and counts."""

    def __init__(self, result):
        self.result, self.class_names, self.calls = result, result.class_names, 0

    def predict(self, image):
        self.calls += 1
        return self.result


def instances(*masks):
    count = len(masks)
    return InstanceResult(
        np.ones(count, np.int64),
        np.linspace(0.9, 0.5, count, dtype=np.float32),
        np.zeros((count, 4), np.float32),
        np.array(masks, bool).reshape(count, 2, 5),
        None,
        ('background', 'tool'),
        {'inference': 2.0},
    )


def test_parts_are_the_labels_inside_each_mask():
    labels = np.array([[0, 1, 1, 2, 2], [3, 3, 4, 255, 0]], np.uint8)
    masks = [[1, 1, 1, 1, 0], [0, 0, 0, 1, 1]], [[0, 0, 1, 1, 0], [1, 1, 1, 0, 0]]
    found = instances(*masks)
    result = PartsPredictor(
        Always(found), Always(SemanticResult(labels, None, CLASS_NAMES['parts']))
    ).predict(None)
    np.testing.assert_array_equal(
        result.parts,
        [[[255, 1, 1, 2, 0], [0, 0, 0, 255, 255]], [[0, 0, 1, 2, 0], [3, 3, 255, 0, 0]]],
    )
    assert result.parts.dtype == np.uint8
    assert result.milliseconds.keys() == {'inference', 'parts'}
    assert result.masks is found.masks and result.best(1).parts.shape == (1, 2, 5)


def test_without_instances_no_network_looks_for_parts():
    semantic = Always(SemanticResult(np.zeros((2, 5), np.uint8), None, CLASS_NAMES['parts']))
    result = PartsPredictor(Always(instances()), semantic).predict(None)
    assert result.parts.shape == (0, 2, 5) and result.parts.dtype == np.uint8
    assert semantic.calls == 0


def write_weights(path, name, options, class_names, **details):
    from safetensors.torch import save_file

    network = fill_network(networks.create(name, **options))
    save_file(
        network.state_dict(), path, metadata=Card(name, options, class_names, details).metadata()
    )
    return path


def test_two_networks_on_files_give_instances_with_parts(tmp_path):
    tool_weights = write_weights(
        tmp_path / 'solo.safetensors',
        'solo_mobilenet',
        {'num_classes': 2, 'width': 32, 'depth': 1, 'grids': (6, 5, 4, 3, 2)},
        ('background', 'grasper', 'scissors'),
        input_size=SIZE,
    )
    part_weights = write_weights(
        tmp_path / 'parts.safetensors',
        'lwanet',
        {'num_classes': 5},
        CLASS_NAMES['parts'],
        input_size=SIZE,
    )
    tools = predictors.create('solo_mobilenet', weights=tool_weights, **ON_CPU)
    predictor = PartsPredictor.from_weights(tools, part_weights, **ON_CPU)
    predictor.prepare(*SIZE)
    image = texture('parts', *SIZE)
    result, alone = predictor.predict(image), tools.predict(image)
    labels = predictors.create('lwanet', weights=part_weights, **ON_CPU).predict(image).labels
    np.testing.assert_array_equal(result.masks, alone.masks)
    assert len(result.masks) > 3 and len(np.unique(labels)) > 2
    assert predictor.class_names == result.class_names == alone.class_names
    for mask, parts in zip(result.masks, result.parts, strict=True):
        assert (parts[~mask] == Part.NONE).all()
        for class_id, part in enumerate(
            (Part.UNKNOWN, Part.SHAFT, Part.WRIST, Part.JAW, Part.UNKNOWN)
        ):
            assert (parts[mask & (labels == class_id)] == part).all()
    assert result.milliseconds['parts'] > 0


def test_weights_without_parts_are_refused_in_a_sentence():
    tools = Always(instances())
    with pytest.raises(
        ValueError,
        match='^the network of parts has no class shaft, wrist, clasper'
        ' or jaw, but background, Bipolar Forceps, .*Other$',
    ):
        PartsPredictor.from_weights(tools, bundled_weights('lwanet'), **ON_CPU)
    with pytest.raises(FileNotFoundError, match='there is no checkpoint nowhere.pt'):
        PartsPredictor.from_weights(tools, 'nowhere.pt', **ON_CPU)
