import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
pytest.importorskip('albumentations', reason='augmented versions need albumentations')

from surgseg_ros.datasets import SegmentationDataset  # noqa: E402
from surgseg_ros.training.surgicalsam.class_embeddings import class_embeddings, foreground_cells  # noqa: E402
from surgseg_ros.training.surgicalsam.feature_cache import FeatureCache, version_of, weights_digest  # noqa: E402
from surgseg_ros.training.surgicalsam.samples import CachedPrompts  # noqa: E402


class Squares(SegmentationDataset):
    """Three random images of 100 x 80 px, class k = 1.. in its own square."""

    class_names = ('background', 'one', 'two', 'three')

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images = [rng.integers(0, 256, (80, 100, 3), np.uint8) for _ in range(3)]

    def __len__(self):
        return 3

    def name(self, index):
        return f'seq/{index}'

    def image(self, index):
        return self.images[index]

    def labels(self, index):
        labels = np.zeros((80, 100), np.uint8)
        labels[10:30, 10:30] = 1
        if index:
            labels[40:60, 50:90] = 1 + index
        return labels


class Encoder:
    """Counts its calls; features that depend on the image."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = 0, fail_at

    def __call__(self, image):
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        self.calls += 1
        grey = torch.from_numpy(image.astype(np.float32)).mean(-1)[None, None] / 255
        cells = torch.nn.functional.interpolate(grey, (64, 64), mode='area')[0, 0]
        return cells[..., None] * torch.linspace(-1, 1, 256)


@pytest.mark.parametrize(
    'epoch, version',
    [(0, 0), (1, 1), (2, 0), (3, 2), (78, 0), (79, 40), (80, 0), (81, 1), (499, 10)],
)
def test_versions_follow_the_published_schedule(epoch, version):
    assert version_of(epoch) == version


def test_filled_once_and_read_back(tmp_path):
    cache, encoder = FeatureCache(tmp_path, Squares()), Encoder()
    cache.fill(encoder)
    assert encoder.calls == 3
    cached = cache.read(2)
    assert cached.features.shape == (64, 64, 256)
    assert cached.features.dtype == np.float16
    expected = Encoder()(Squares().image(2)).numpy()
    np.testing.assert_allclose(cached.features, expected, rtol=2**-11, atol=1e-6)
    np.testing.assert_array_equal(cached.labels, Squares().labels(2))
    assert cached.class_ids.tolist() == cache.class_ids(2) == [1, 3]
    assert cached.class_embeddings.shape == (2, 256)
    again = FeatureCache(tmp_path, Squares())
    again.fill(encoder)
    assert encoder.calls == 3
    np.testing.assert_array_equal(again.read(2).features, cached.features)


def test_stopped_and_filled_again_it_makes_only_what_is_missing(tmp_path):
    whole, stopped = (FeatureCache(tmp_path / folder, Squares()) for folder in 'ab')
    whole.fill(Encoder(), versions=[12])
    with pytest.raises(KeyboardInterrupt):
        stopped.fill(Encoder(fail_at=4), versions=[12])
    with pytest.raises(ValueError, match='fill'):
        FeatureCache(tmp_path / 'b', Squares()).read(2)
    encoder = Encoder()
    stopped.fill(encoder, versions=[12])
    assert encoder.calls == 2
    assert not [path for path in tmp_path.rglob('*') if 'partial' in path.name]
    for index in range(3):
        for version in (0, 12):
            one, two = whole.read(index, version), stopped.read(index, version)
            np.testing.assert_array_equal(one.features, two.features)
            np.testing.assert_array_equal(one.labels, two.labels)


def test_an_augmented_version_changes_image_and_labels_alike_and_each_image_otherwise(tmp_path):
    dataset = Squares()
    dataset.images = [np.dstack([dataset.labels(1) * 60] * 3)] * 3
    dataset.labels = lambda index: (dataset.images[0][..., 0] // 60).astype(np.uint8)
    images = []
    cache = FeatureCache(tmp_path, dataset)
    cache.fill(lambda image: images.append(image) or torch.zeros(64, 64, 256), range(1, 11))
    stored = [cache.read(0, version).labels for version in range(11)]
    for image, labels in zip(images, stored, strict=False):
        np.testing.assert_array_equal(image[..., 0] // 60, labels)
    assert len({labels.tobytes() for labels in stored}) > 2  # flips


def test_a_changed_image_is_encoded_again(tmp_path):
    dataset, encoder = Squares(), Encoder()
    FeatureCache(tmp_path, dataset).fill(encoder)
    dataset.images[1] = dataset.images[1] // 2
    FeatureCache(tmp_path, dataset).fill(encoder)
    assert encoder.calls == 4


def test_weights_have_a_digest_of_their_own():
    weights = {'a': torch.ones(2), 'b': torch.zeros(3)}
    assert weights_digest(weights) == weights_digest(dict(reversed(weights.items())))
    assert weights_digest(weights) != weights_digest({**weights, 'b': torch.full((3,), 1e-6)})
    assert weights_digest(weights) != weights_digest({'a': weights['a'], 'c': weights['b']})


def test_prompts_take_the_version_of_the_epoch_and_their_own_class(tmp_path):
    cache = FeatureCache(tmp_path, Squares())
    cache.fill(Encoder(), versions=range(1, 41))
    prompts = CachedPrompts(cache, versions=40, size=(40, 50))
    assert len(prompts) == 5  # 1, 1 and 2, 1 and 3
    for epoch in (0, 1, 41, 79):
        sample, cached = prompts[epoch, 4], cache.read(2, version_of(epoch))
        assert sample['class_ids'] == 3
        assert sample['labels'].shape == (40, 50)
        if 3 in cached.class_ids:
            np.testing.assert_array_equal(sample['features'], cached.features)
            np.testing.assert_array_equal(sample['class_embeddings'], cached.class_embeddings[-1])


def test_class_embedding_is_the_mean_over_the_cells_of_the_mask():
    mask = torch.zeros(2, 1024, 1280, dtype=torch.bool)  # on the canvas: times 0.8
    mask[0, 200:400, 100:500] = True  # rows 160 to 320, columns 80 to 400
    mask[1, 3:7, 3:7] = True  # misses every cell's centre
    cells = foreground_cells(mask)
    expected = torch.zeros(2, 64, 64, dtype=torch.bool)
    expected[0, 10:20, 5:25] = True
    expected[1, 0, 0] = True
    torch.testing.assert_close(cells, expected)
    features = torch.randn(1, 64, 64, 8)
    embeddings = class_embeddings(features, cells)
    torch.testing.assert_close(embeddings[0], features[0, 10:20, 5:25].mean((0, 1)))
    torch.testing.assert_close(embeddings[1], features[0, 0, 0])
    nothing = class_embeddings(features, foreground_cells(torch.zeros(1, 80, 100) > 0))
    assert not nothing.any()


def test_the_name_of_an_image_does_not_lead_out_of_the_cache(tmp_path):
    """Lists and annotations name the images."""

    class Outside(Squares):
        def name(self, index):
            return f'../../elsewhere/{index}'

    with pytest.raises(ValueError, match='would be written outside of'):
        FeatureCache(tmp_path / 'cache', Outside()).fill(Encoder())
    assert not (tmp_path / 'elsewhere').exists()
