"""Frames of another shape than the recipe's: trained and judged as the predictor shows them."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('albumentations', reason='augmentation needs albumentations')

from surgseg_ros import datasets, predictors  # noqa: E402
from surgseg_ros.metrics.segmentation import ConfusionMatrix  # noqa: E402
from surgseg_ros.training import checkpoints, tasks  # noqa: E402

RECIPE = Path(__file__).resolve().parents[2] / 'config' / 'train' / 'lwanet_simulated_small.yaml'
BOX = 96, 128  # height, width


class Discs(datasets.SegmentationDataset):
    """Four images with a red disc in the middle."""

    class_names = ('background', 'disc', 'nothing')

    def __init__(self, root: Path, split: str, size: tuple[int, int]) -> None:
        self._size = tuple(size)

    def __len__(self) -> int:
        return 4

    def name(self, index: int) -> str:
        return 'abcd'[index]

    def labels(self, index: int) -> np.ndarray:
        row, column = np.indices(self._size)
        row, column = row - self._size[0] // 2, column - self._size[1] // 2
        return (row**2 + column**2 < (min(self._size) // (3 + index)) ** 2).astype(np.uint8)

    def image(self, index: int) -> np.ndarray:
        noise = np.random.default_rng(index).integers(0, 90, (*self._size, 3)).astype(np.uint8)
        noise[self.labels(index) == 1, 0] += 150
        return noise


def make_task(monkeypatch, size):
    monkeypatch.setitem(datasets._DATASETS['labels']._places, 'discs', 'test_fitting:Discs')
    height, width = BOX
    return tasks.create(
        tasks.load_recipe(
            RECIPE,
            [
                'data.name=discs',
                f'data.options={{size: {list(size)}}}',
                'data.train={split: train}',
                'data.val={split: val}',
                f'data.height={height}',
                f'data.width={width}',
                'augmentation={}',
                'seed=1',
            ],
        )
    )


def found_by_predictor(weights, frames):
    predictor = predictors.create('lwanet', weights=weights, backend='torch', device='cpu')
    matrix = ConfusionMatrix(len(frames.class_names))
    for _, image, labels in frames:
        matrix.add(predictor.predict(image).labels, labels)
    return matrix.counts


@pytest.mark.parametrize('size', [(200, 200), (100, 190), (96, 128), (40, 70)])
def test_validation_counts_what_the_predictor_labels(monkeypatch, tmp_path, size):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    task = make_task(monkeypatch, size)
    for module in task.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # one look sets the statistics: random weights need them
    with torch.no_grad():
        task.loss(task.collate([task.train_samples[0, index] for index in range(4)]))
        task.network.eval()
        batch = task.collate([task.val_samples[0, index] for index in range(4)])
        counts = task.measure(batch)
    recipe = tasks.load_recipe(RECIPE)
    checkpoints.save_weights(tmp_path / 'best.safetensors', task, recipe, {'mIoU': 0.0})
    expected = found_by_predictor(tmp_path / 'best.safetensors', task.val_samples.dataset)
    assert counts.sum() == 4 * np.prod(size)
    assert np.count_nonzero(counts.sum(axis=0)) > 1, 'one class everywhere tells nothing'
    assert np.abs(counts - expected).sum() <= 1e-4 * counts.sum()


@pytest.mark.parametrize('size', [(200, 200), (100, 190)])
def test_training_keeps_the_aspect_ratio_and_learns_nothing_from_padding(monkeypatch, size):
    task = make_task(monkeypatch, size)
    sample = task.train_samples[0, 0]
    labels = sample['labels'].numpy()
    assert sample['image'].shape == (3, *BOX) and labels.shape == BOX
    rows, columns = np.nonzero(labels == 1)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1, 'the disc is no ellipse'
    padded = labels == 255
    assert padded.mean() == pytest.approx(
        1 - min(BOX[0] / size[0], BOX[1] / size[1]) ** 2 * np.prod(size) / np.prod(BOX), abs=0.01
    )
    assert (sample['image'].numpy()[:, padded] == 128).all()
