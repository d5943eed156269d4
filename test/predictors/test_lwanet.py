import cv2
import numpy as np
import pytest
from golden_recipe import GOLDEN, fill_network, texture
from safetensors.torch import save_file

from surgseg_ros import backends, networks, predictors
from surgseg_ros.networks.card import Card
from surgseg_ros.predictors.label_upsampling import LabelUpsampler

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def network():
    """LWANet with deterministic weights for 11 classes."""
    return fill_network(networks.create('lwanet', num_classes=11))


@pytest.fixture(scope='module')
def weights(network, tmp_path_factory):
    """Its weights as the authors publish them: nothing says what they are."""
    path = tmp_path_factory.mktemp('weights') / 'lwanet.pth'
    torch.save(network.state_dict(), path)
    return path


def create(weights, **options):
    options = {'num_classes': 11, 'backend': 'torch', 'device': 'cpu', 'threads': 1, **options}
    return predictors.create('lwanet', weights=weights, **options)


def upsampled(scores, height, width):
    """Enlarge C x h x w scores as torch does."""
    tensor = torch.as_tensor(scores)[None]
    return torch.nn.functional.interpolate(tensor, (height, width), mode='bilinear')[0]


@torch.inference_mode()
def published(network, image):
    """Labels as by the authors: normalise, 2x2 maxima, pad to 32 evenly; upsample, crop."""
    tensor = (torch.from_numpy(image.transpose(2, 0, 1)[None]).float() / 255 - 0.5) / 0.5
    small = torch.nn.functional.max_pool2d(tensor, 2)
    rows, columns = (-n % 32 // 2 for n in small.shape[2:])
    padded = torch.nn.functional.pad(small, (columns, columns, rows, rows))
    height, width = (2 * n for n in padded.shape[2:])
    full = upsampled(network(padded)[0], height, width)
    return full[:, 2 * rows : height - 2 * rows, 2 * columns : width - 2 * columns]


def assert_same_labels(labels, scores):
    """Equal, but where two classes are as good as equal, which rounding decides."""
    best = scores.topk(2, dim=0).values
    tied = (best[0] - best[1] < 1e-4).numpy()
    expected = scores.argmax(dim=0).numpy()
    np.testing.assert_array_equal(labels[~tied], expected[~tied])
    assert (labels != expected).mean() < 1e-3


@pytest.mark.parametrize('size', [(1080, 1920), (1024, 1280)])
def test_weights_without_a_card_see_images_as_published(network, weights, size):
    """960x540 with two rows above and below, and Table V's 640x512."""
    image = texture('published', *size)
    predictor = create(weights)
    result = predictor.predict(image)
    assert result.labels.shape == size and result.labels.dtype == np.uint8
    assert predictor._normalise.shape[2:] == {1080: (544, 960), 1024: (512, 640)}[size[0]]
    assert_same_labels(result.labels, published(network, image))
    assert len(np.unique(result.labels)) > 5
    assert result.probabilities is None
    assert set(result.milliseconds) == {'preprocess', 'inference', 'postprocess'}


def test_the_golden_frame(weights):
    golden = np.load(GOLDEN / 'lwanet_256x320.npz')
    result = create(weights).predict(texture('lwanet', 256, 320), probabilities=True)
    scores = upsampled(golden['logits'][0], 256, 320)
    assert_same_labels(result.labels, scores)
    np.testing.assert_allclose(result.probabilities, scores.softmax(dim=0), atol=1e-4)
    np.testing.assert_array_equal(result.probabilities.argmax(axis=0), result.labels)


def test_the_card_says_what_the_network_is_and_sees(network, tmp_path):
    """Fitted to the card's size with the image's aspect ratio, padded, labels at full size."""
    small = fill_network(networks.create('lwanet', num_classes=3, attention_fusion=False))
    names = ('background', 'shaft', 'jaw')
    options = {'num_classes': 3, 'attention_fusion': False}
    card = Card('lwanet', options, names, {'input_size': [128, 160]})
    save_file(small.state_dict(), tmp_path / 'w.safetensors', metadata=card.metadata())
    predictor = create(tmp_path / 'w.safetensors', num_classes=None)
    assert predictor.class_names == names
    image = texture('card', 180, 320)
    labels = predictor.predict(image).labels
    tensor = np.zeros((3, 96, 160), np.float32)  # 160x90 and three rows above and below
    seen = cv2.resize(image, (160, 90), interpolation=cv2.INTER_AREA)
    tensor[:, 3:93] = (seen / np.float32(255) - np.float32(0.5)).transpose(2, 0, 1) / 0.5
    with torch.inference_mode():
        scores = upsampled(small.logits(torch.from_numpy(tensor[None]))[0], 192, 320)
    assert_same_labels(labels, scores[:, 6:186])
    assert predictor.predict(texture('card', 33, 1)).labels.shape == (33, 1)


def test_what_is_wrong_is_said_in_a_sentence(weights, tmp_path):
    save_file({}, tmp_path / 'w.safetensors', metadata=Card('surgicalsam').metadata())
    with pytest.raises(ValueError, match='are weights of surgicalsam, not of lwanet'):
        create(tmp_path / 'w.safetensors')
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        create(tmp_path / 'nothing.pth')
    with pytest.raises(ValueError, match='class_names has 2 names, the network 11 classes'):
        create(weights, class_names=('background', 'tool'))
    with pytest.raises(ValueError, match="reduction is 'mean', expected one of area, max"):
        create(weights, reduction='mean')
    with pytest.raises(ValueError, match=r'threads is -1, expected at least 1'):
        create(weights, threads=-1).prepare(32, 32)


@pytest.mark.parametrize(
    ('image', 'words'),
    [
        (np.zeros((8, 8), np.uint8), r'uint8 \(8, 8\)'),
        (np.zeros((0, 8, 3), np.uint8), r'uint8 \(0, 8, 3\)'),
        (np.zeros((8, 8, 3)), r'float64 \(8, 8, 3\)'),
        ([[[0, 0, 0]]], 'a list'),
    ],
)
def test_only_images_are_predicted(weights, image, words):
    with pytest.raises(ValueError, match=f'the image is {words}, expected .*uint8 HxWx3'):
        create(weights).predict(image)


def test_class_names_do_not_change_the_number_of_classes_that_a_card_says(tmp_path):
    path = tmp_path / 'w.safetensors'
    for options in ({'num_classes': 3}, {}):
        card = Card('lwanet', options, ('background', 'shaft', 'jaw'))
        save_file({}, path, metadata=card.metadata())
        with pytest.raises(ValueError, match='class_names has 1 name, the network 3 classes'):
            create(path, num_classes=None, class_names=['a'])
        assert create(path, num_classes=None, class_names='abc').class_names == ('a', 'b', 'c')


def test_class_names_tell_the_number_of_classes_where_no_card_does(weights):
    predictor = create(weights, num_classes=None, class_names='abcdefghijk')
    assert predictor.predict(texture('lwanet', 32, 32)).class_names == tuple('abcdefghijk')


def smooth_scores(classes, height, width, cell):
    """Patches of one class, and many exact ties at 0, as after a ReLU."""
    generator = np.random.default_rng(classes)
    grid = generator.normal(size=(classes, height // cell + 2, width // cell + 2))
    planes = [
        cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        for plane in grid
    ]
    return np.maximum(np.stack(planes), 0)


@pytest.mark.parametrize(
    ('grid', 'size'),
    [
        ((136, 240), (544, 960)),
        ((128, 160), (1024, 1280)),
        ((136, 240), (1024, 1280)),
        ((8, 8), (25, 31)),
        ((8, 8), (7, 5)),
        ((1, 1), (32, 32)),
    ],
)
@pytest.mark.parametrize('cell', [4, 16])
def test_labels_are_identical_to_those_of_interpolated_scores(grid, size, cell):
    scores = smooth_scores(8, *grid, cell)
    upsampler = LabelUpsampler(size, grid, (0, 0), (4 * grid[0], 4 * grid[1]), 4)
    expected = upsampled(scores, *size)
    np.testing.assert_array_equal(upsampler.labels(scores), expected.argmax(dim=0))
    probabilities = upsampler.probabilities(scores)
    np.testing.assert_allclose(probabilities, expected.softmax(dim=0), rtol=0, atol=1e-6)


def test_padding_is_cropped_before_anything_is_enlarged():
    scores = smooth_scores(11, 136, 240, 8)
    upsampler = LabelUpsampler((1080, 1920), (136, 240), (2, 0), (540, 960), 4)
    expected = upsampled(scores, 1088, 1920).argmax(dim=0)[4:1084]
    np.testing.assert_array_equal(upsampler.labels(scores), expected)


@pytest.mark.parametrize('wrong', [np.nan, np.inf, -np.inf])
def test_what_interpolates_a_score_that_is_not_finite_is_unlabelled(wrong):
    scores = smooth_scores(3, 8, 8, 4)
    upsampler = LabelUpsampler((32, 32), (8, 8), (0, 0), (32, 32), 4)
    usual = upsampler.labels(scores)
    scores[1, 3, 5] = wrong
    labels = upsampler.labels(scores)
    touched = np.zeros((32, 32), bool)
    touched[10:18, 18:26] = True  # from the centres of the cells before to those after
    assert (labels[touched] == 255).all()
    np.testing.assert_array_equal(labels[~touched], usual[~touched])


def test_outputs_that_are_not_finite_reject_the_frame(weights, monkeypatch):
    class Broken:
        def run(self, tensor):
            return (np.full((1, 11, *(n // 4 for n in tensor.shape[2:])), np.nan, np.float32),)

    monkeypatch.setattr(backends, 'create', lambda *_, **__: Broken())
    with pytest.raises(ValueError, match='704 of 704 outputs of lwanet are not finite'):
        create(weights).predict(np.zeros((30, 32, 3), np.uint8))
