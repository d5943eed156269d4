"""SurgicalSAM on frames: with generated weights, for which the network itself is the reference."""

import subprocess
import sys

import numpy as np
import pytest
from golden_recipe import texture
from safetensors.torch import save_file

from surgseg_ros import backends, networks, predictors
from surgseg_ros.networks.card import Card
from surgseg_ros.predictors.sam_input import SamInput

torch = pytest.importorskip('torch', reason='networks need torch')

CANVAS = 256
OPTIONS = {'encoder': 'mobilenet_v2', 'num_tokens': 2, 'num_classes': 3}
NAMES = ('background', 'hook', 'scissors', 'forceps')
SIZE = (80, 100)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Make weights with a card, trained for no purpose; exports live as long as this module."""
    folder = tmp_path_factory.mktemp('surgicalsam')
    torch.manual_seed(1)
    network = networks.create('surgicalsam', **OPTIONS)
    card = Card('surgicalsam', OPTIONS, NAMES, {'encoder_size': CANVAS})
    save_file(network.state_dict(), folder / 'tiny.safetensors', metadata=card.metadata())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SURGSEG_CACHE', str(folder / 'cache'))
        yield folder / 'tiny.safetensors'


class Scene:
    """Backends of an invented network: flat features, masks and qualities as they are set."""

    def __init__(self):
        self.encoded, self.prompts = 0, []
        self.qualities = {1: 0.9, 2: 0.7, 3: 0.8}
        self.masks = {1: np.s_[:, :50], 2: np.s_[:, 30:60], 3: np.s_[:, 50:90]}

    def create(self, model, **options):
        return self

    def run(self, tensor, prompts=None):
        prototypes = np.eye(3, 256, dtype=np.float32)
        if prompts is None:
            self.encoded += 1
            features = np.zeros((1, 64, 64, 256), np.float32)
            features[:, :, :12] = prototypes[0]
            features[:, :, 12:] = prototypes[2]
            return (features,)
        class_ids = prompts.argmax(axis=1) + 1
        self.prompts.append(class_ids.tolist())
        logits = np.full((len(prompts), 1, 256, 256), -9, np.float32)
        for plane, class_id in zip(logits, class_ids, strict=True):
            plane[0][self.masks[class_id]] = 9
        quality = np.array([self.qualities[i] for i in class_ids], np.float32)
        return logits, quality, prototypes


@pytest.fixture
def scene(monkeypatch):
    scene = Scene()
    monkeypatch.setattr(backends, 'create', scene.create)
    return scene


def predictor_of(weights, **options):
    return predictors.create('surgicalsam', weights=weights, **options)


IMAGE = texture('scene', 64, 64)


def test_absent_classes_are_rejected_by_presence_and_quality(weights, scene):
    predictor = predictor_of(weights)
    result = predictor.predict(IMAGE)
    # the mask of 2 lies on the features of 1 and 3
    assert set(np.unique(result.labels)) == {0, 1, 3}
    assert result.labels[0, 5] == 1 and result.labels[0, 20] == 3 and result.labels[0, 40] == 0
    assert result.presence[1] > 0.99 > 0.01 > result.presence[2]
    assert result.scores == pytest.approx(scene.qualities)
    assert result.class_names == NAMES and set(result.milliseconds) == {
        'encode',
        'decode',
        'postprocess',
    }
    predictor.quality_threshold = 0.85
    assert set(np.unique(predictor.predict(IMAGE).labels)) == {0, 1}
    predictor.quality_threshold = predictor.presence_threshold = 0.0
    assert set(np.unique(predictor.predict(IMAGE).labels)) == {0, 1, 3, 2}
    scene.masks[1] = np.s_[:0]
    assert 1 not in predictor.predict(IMAGE).labels  # an empty mask is no instrument


def with_card(folder, **details):
    network = networks.create('surgicalsam', **OPTIONS)
    card = Card('surgicalsam', OPTIONS, NAMES, details)
    save_file(network.state_dict(), folder / 'a.safetensors', metadata=card.metadata())
    return folder / 'a.safetensors'


def test_thresholds_come_from_the_card_unless_given(tmp_path, weights, scene):
    weights_with_card = with_card(tmp_path, quality_threshold=0.0, encoder_size=256)
    predictor = predictor_of(weights_with_card, presence_threshold=0.25)
    assert (predictor.quality_threshold, predictor.presence_threshold) == (0.0, 0.25)
    assert predictor_of(weights).quality_threshold == 0.5


def test_prototypes_are_compared_at_the_temperature_that_they_were_trained_at(tmp_path, scene):
    predictor = predictor_of(with_card(tmp_path, temperature=0.5, encoder_size=256))
    scene.masks[1] = np.s_[:, :48]  # there, features are the first of three prototypes
    expected = np.exp(1 / 0.5) / (np.exp(1 / 0.5) + 2) / (1 + np.exp(-9))
    assert predictor.predict(IMAGE).presence[1] == pytest.approx(expected, abs=1e-6)


def test_the_best_is_on_top_and_published_mode_rejects_nothing(weights, scene):
    predictor = predictor_of(weights, mode='published')
    labels = predictor.predict(IMAGE, class_ids=[3, 1]).labels
    assert scene.prompts[-1] == [1, 3] and set(np.unique(labels)) == {0, 1, 3}
    labels = predictor.predict(IMAGE, class_ids=(1, 2, 3)).labels
    assert labels[0, 10] == 1 and labels[0, 14] == 3  # quality of 2 is the lowest
    scene.qualities[2] = 0.95
    assert predictor.predict(IMAGE, class_ids=[1, 2, 3]).labels[0, 10] == 2
    assert not predictor.predict(IMAGE, class_ids=[]).labels.any()
    with pytest.raises(ValueError, match="class_ids are for mode='published', and that mode"):
        predictor.predict(IMAGE)
    predictor.mode = 'all'
    with pytest.raises(ValueError, match="class_ids are for mode='published'"):
        predictor.predict(IMAGE, class_ids=[1])


def test_classes_are_chosen_live(weights, scene):
    predictor = predictor_of(weights, classes=[3])
    assert set(np.unique(predictor.predict(IMAGE).labels)) == {0, 3}
    predictor.classes = (1, 2)
    result = predictor.predict(IMAGE)
    assert set(np.unique(result.labels)) == {0, 1} and set(result.scores) == {1, 2}
    predictor.classes = ()
    assert not predictor.predict(IMAGE).labels.any()
    predictor.classes = None
    predictor.predict(IMAGE)
    assert scene.prompts == [[3], [1, 2], [1, 2, 3]]
    predictor.classes = [0, 1]
    with pytest.raises(ValueError, match=r'class ids are \[0, 1\], expected some of 1 to 3'):
        predictor.predict(IMAGE)


def test_probabilities_are_of_each_class_alone(weights, scene):
    result = predictor_of(weights).predict(IMAGE, probabilities=True)
    planes = result.probabilities
    assert planes.shape == (4, 64, 64) and planes.dtype == np.float32
    assert not planes[2].any()
    np.testing.assert_allclose(planes[0], 1 - planes[1:].max(axis=0))
    sure = np.abs(planes[0] - 0.5) > 0.01
    np.testing.assert_array_equal(planes.argmax(axis=0)[sure], result.labels[sure])


def test_features_may_be_older_than_the_frame(weights, scene):
    predictor = predictor_of(weights, encode_every=3)
    ages = [predictor.predict(IMAGE).feature_age for _ in range(7)]
    assert ages == [0, 1, 2, 0, 1, 2, 0] and scene.encoded == 3 and len(scene.prompts) == 7
    predictor.reset()
    predictor.encode_every = 5
    assert predictor.predict(IMAGE).feature_age == 0
    assert predictor.predict(IMAGE).feature_age == 1
    assert predictor.predict(texture('other', 32, 64)).feature_age == 0  # another size
    with pytest.raises(ValueError, match='encode_every is 0, expected at least 1'):
        predictor.encode_every = 0


def reference(weights, image):
    """What the network says, prompted with all classes, after the published preprocessing."""
    network = networks.create('surgicalsam', **OPTIONS).eval()
    networks.load_checkpoint(network, weights)
    known = networks.spec('surgicalsam')
    tensor = SamInput(*SIZE, known.mean, known.std, CANVAS)(image)
    with torch.inference_mode():
        features = network.encode(torch.from_numpy(tensor))
        logits, quality = network(features, torch.tensor([1, 2, 3]))
    from surgseg_ros.networks.surgicalsam import upscale_masks

    return upscale_masks(logits, SIZE)[:, 0].numpy(), quality.numpy()


@pytest.mark.parametrize('kind', [pytest.param('openvino', marks=pytest.mark.long), 'torch'])
def test_a_frame_is_encoded_prompted_and_decoded_as_the_network_does(weights, kind):
    image = texture('frame', *SIZE)
    logits, quality = reference(weights, image)
    predictor = predictor_of(weights, backend=kind, device='cpu', precision='f32')
    predictor.mode = 'published'
    result = predictor.predict(image, class_ids=[1, 2, 3])
    expected = np.zeros(SIZE, np.uint8)
    for i in np.argsort(quality):
        expected[logits[i] > 0] = i + 1
    sure = (np.abs(logits) > 1e-3).all(axis=0)
    assert sure.mean() > 0.9 and len(np.unique(expected)) > 1
    np.testing.assert_array_equal(result.labels[sure], expected[sure])
    np.testing.assert_allclose(list(result.scores.values()), quality, atol=1e-4)
    # the same features decoded again: nothing of the first result has changed
    kept = result.labels.copy()
    predictor.predict(texture('another', *SIZE), class_ids=[1, 2, 3])
    np.testing.assert_array_equal(result.labels, kept)


def test_cached_exports_need_no_torch(weights):
    predictor_of(weights, backend='openvino').prepare(*SIZE)
    code = f"""
import sys
import numpy as np
from surgseg_ros import predictors
predictor = predictors.create('surgicalsam', weights={str(weights)!r}, backend='openvino')
assert predictor.predict(np.zeros((80, 100, 3), np.uint8)).labels.shape == (80, 100)
assert not {{'torch', 'onnx', 'segment_anything'}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, '-c', code], check=True)


def test_what_is_missing_or_wrong_is_said_in_a_sentence(weights, tmp_path, scene):
    for options, sentence in (
        ({'weights': None}, 'authors publish them at https://github.com/wenxi-yue'),
        ({'encoder_size': 500}, 'encoder_size is 500, expected a multiple of 16 up to 1024'),
        ({'class_names': ('a', 'b')}, 'class_names has 2 names, the network 4 classes'),
    ):
        with pytest.raises(ValueError, match=sentence):
            predictors.create('surgicalsam', **{'weights': weights, **options})
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        predictor_of(weights, sam_weights=tmp_path / 'sam.pth')
    for image in (np.zeros((8, 8), np.uint8), np.zeros((0, 8, 3), np.uint8), [[[0, 0, 0]]]):
        with pytest.raises(ValueError, match=r'the image is .*, expected .*uint8 HxWx3'):
            predictor_of(weights).predict(image)
    for wrong in (7.9, '1'):
        with pytest.raises(ValueError, match=rf'class ids are \[{wrong}\], expected some of 1 to'):
            predictor_of(weights, classes=[wrong]).predict(IMAGE)
    save_file({}, tmp_path / 'w.safetensors', metadata=Card('lwanet').metadata())
    with pytest.raises(ValueError, match='are weights of lwanet, not of surgicalsam'):
        predictor_of(tmp_path / 'w.safetensors')
    with pytest.raises(ValueError, match="mode is 'some', expected 'all' or 'published'"):
        predictor_of(weights, mode='some').predict(IMAGE)


def test_published_checkpoints_have_the_classes_of_their_data_set(tmp_path):
    (tmp_path / 'model_ckp.pth').write_bytes(b'')
    names = {
        tokens: predictor_of(tmp_path / 'model_ckp.pth', num_tokens=tokens).class_names
        for tokens in (2, 4)
    }
    assert names[2][4:] == (
        'Monopolar Curved Scissors',
        'Ultrasound Probe',
        'Suction Instrument',
        'Clip Applier',
    )
    assert names[4][4:] == (
        'Vessel Sealer',
        'Grasping Retractor',
        'Monopolar Curved Scissors',
        'Other',
    )


@pytest.mark.parametrize('options', [{}, {'encoder': 'mobilenet_v2'}])
def test_weights_stored_without_their_frozen_encoder_run_upon_the_one_they_name(
    weights, tmp_path, options
):
    """As training writes them with network.store_encoder: false."""
    network = networks.create('surgicalsam', **OPTIONS)
    networks.load_checkpoint(network, weights)
    rest = {k: x for k, x in network.state_dict().items() if not k.startswith('image_encoder.')}
    card = Card(
        'surgicalsam',
        {**OPTIONS, 'encoder': None},
        NAMES,
        {'encoder': 'mobilenet_v2', 'encoder_size': CANVAS},
    )
    save_file(rest, tmp_path / 'rest.safetensors', metadata=card.metadata())
    image, upon = texture('frame', *SIZE), {'backend': 'torch', 'device': 'cpu'}
    found = predictor_of(
        tmp_path / 'rest.safetensors', sam_weights=weights, **options, **upon
    ).predict(image)
    expected = predictor_of(weights, **upon).predict(image)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.scores == pytest.approx(expected.scores, abs=1e-6)
    with pytest.raises(ValueError, match='rest.safetensors has no image encoder: expected sam_we'):
        predictor_of(tmp_path / 'rest.safetensors', **options)


@pytest.mark.parametrize('broken', ['features', 'logits'])
def test_outputs_that_are_not_finite_reject_the_frame(weights, scene, monkeypatch, broken):
    def run(tensor, prompts=None):
        outputs = Scene.run(scene, tensor, prompts)
        if (prompts is None) == (broken == 'features'):
            outputs[0].flat[7] = np.nan
        return outputs

    monkeypatch.setattr(scene, 'run', run)
    with pytest.raises(ValueError, match='1 of [0-9]+ outputs of surgicalsam are not finite'):
        predictor_of(weights).predict(IMAGE)
