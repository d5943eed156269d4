"""The task of LWANet, and of any network that gives class log-probabilities per pixel.

LWANet: Ni et al., ICRA 2020, arXiv:1910.11109, sections III.D and IV.B.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from surgseg_ros import datasets, networks
from surgseg_ros.metrics.segmentation import UNLABELLED, ConfusionMatrix, mean_over_classes
from surgseg_ros.predictors.fitting import centred, fitting_size, origin, padded_size
from surgseg_ros.predictors.label_upsampling import LabelUpsampler
from surgseg_ros.predictors.preprocess import resize
from surgseg_ros.training import recipe as recipes
from surgseg_ros.training.augmentation import Augmentation, make_augmentation, resize_labels
from surgseg_ros.training.determinism import derive_seed
from surgseg_ros.training.losses.focal import focal_loss
from surgseg_ros.training.start import Network, make_network
from surgseg_ros.training.task import Batch, Task
from surgseg_ros.training.tensors import channels_first, normalised


@dataclass(frozen=True, kw_only=True)
class Data(recipes.Data):
    """Images and labels, and the size at which the network sees them."""

    height: recipes.Count  # px; others fit in with their aspect ratio, and are padded
    width: recipes.Count


@dataclass(frozen=True, kw_only=True)
class SegmentationLoss:
    """Focal loss."""

    gamma: recipes.NotNegative = 6.0
    full_size: bool = False  # at the size of the images, not of the network's output


@dataclass(frozen=True, kw_only=True)
class SegmentationRecipe(recipes.Recipe):
    """The keys of a recipe of this task."""

    network: Network
    data: Data
    augmentation: Mapping[str, object] = field(
        default_factory=dict
    )  # see training/augmentation.py
    loss: SegmentationLoss = field(default_factory=SegmentationLoss)


class TrainingSamples:
    """Images and labels, fitted into one size and changed at random; see task.Samples."""

    def __init__(
        self,
        dataset: datasets.SegmentationDataset,
        size: tuple[int, int],
        fill: Sequence[int],
        augment: Augmentation,
        seed: int,
    ) -> None:
        """size: (height, width), px; fill: the colour around images of another aspect ratio."""
        self.dataset, self._size, self._fill = dataset, size, fill
        self._augment, self._seed = augment, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """image: 3 x H x W uint8 RGB; labels: uint8 class ids, 255 unlabelled."""
        epoch, index = key
        _, image, labels = self.dataset[index]
        fitting = fitting_size(labels.shape, self._size)
        image = centred(resize(image, *fitting), self._size, self._fill)
        labels = centred(resize_labels(labels, *fitting), self._size, (UNLABELLED,))
        return _tensors(*self._augment(image, labels, derive_seed(self._seed, epoch, index)))


class ValidationSamples:
    """Images as large as the predictor shows them to the network, and labels as they are."""

    def __init__(self, dataset: datasets.SegmentationDataset, box: tuple[int, int]) -> None:
        """box: (height, width), px, that images fit into."""
        self.dataset, self._box = dataset, box

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """image: 3 x h x w uint8 RGB; labels: H x W uint8 class ids, 255 unlabelled."""
        _, image, labels = self.dataset[key[1]]
        return _tensors(resize(image, *fitting_size(labels.shape, self._box)), labels)


class SegmentationTask(Task):
    """Focal loss on class log-probabilities; mIoU at full size, as users see the labels."""

    Recipe = SegmentationRecipe

    def __init__(self, recipe: SegmentationRecipe) -> None:
        """Raises ValueError with one sentence where the recipe and the data do not fit."""
        data, seed = recipe.data, recipe.seed
        spec = networks.spec(recipe.network.name)
        if data.height % spec.multiple or data.width % spec.multiple:
            raise ValueError(
                f'{recipe.network.name} takes images whose sides are multiples of '
                f'{spec.multiple} px, not {data.width}x{data.height}'
            )
        train, val = data.opened(datasets.open_dataset)
        if val.class_names != train.class_names:
            raise ValueError('data.train and data.val have different classes')
        augment = make_augmentation(recipe.augmentation, (data.height, data.width))
        self._box = data.height, data.width
        fill = [round(255 * mean) for mean in spec.mean]  # as predictors pad, nearly
        self.train_samples = TrainingSamples(train, self._box, fill, augment, seed)
        self.val_samples = ValidationSamples(val, self._box)
        self.class_names = train.class_names
        self.network_name = recipe.network.name
        self.network_options = {**recipe.network.options, 'num_classes': len(self.class_names)}
        self.network = make_network(recipe.network, self.network_options, self.class_names)
        self._loss = recipe.loss
        self._mean, self._std, self._multiple = spec.mean, spec.std, spec.multiple

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Focal loss at the size of the network's output, as published, or at full size."""
        output, labels = self._log_probabilities(batch['image']), batch['labels']
        if self._loss.full_size:
            output = F.interpolate(output.float(), labels.shape[1:], mode='bilinear')
        else:
            labels = F.interpolate(labels[:, None], output.shape[2:], mode='nearest-exact')[:, 0]
        return {'loss': focal_loss(output, labels, self._loss.gamma)}

    def measure(self, batch: Batch) -> np.ndarray:
        """Confusion counts (ConfusionMatrix) of a batch, at the size of its labels."""
        scores = self._log_probabilities(batch['image']).float().cpu().numpy()
        truth = batch['labels'].cpu().numpy()
        upsampler = self._upsampler(truth.shape[1:], batch['image'].shape[2:], scores.shape[2:])
        matrix = ConfusionMatrix(len(self.class_names))
        for one, labels in zip(scores, truth, strict=True):
            matrix.add(upsampler.labels(one), labels)
        return matrix.counts

    def metrics(self, measurements: list[np.ndarray]) -> dict[str, float]:
        """mIoU and mDice of the instruments, LWANet's own figures, and the IoU of each class.

        LWANet's leave out what is background in truth or prediction (metrics/segmentation.py).
        """
        matrix = ConfusionMatrix(len(self.class_names))
        matrix.counts += sum(measurements)
        published = matrix.without_background()
        return {
            'mIoU': mean_over_classes(matrix.iou),
            'mDice': mean_over_classes(matrix.dice),
            'mIoU_lwanet': mean_over_classes(published.iou, background=True),
            'mDice_lwanet': mean_over_classes(published.dice, background=True),
            'accuracy': matrix.accuracy,
            **{
                f'IoU/{name}': float(iou)
                for name, iou in zip(self.class_names, matrix.iou, strict=True)
            },
        }

    def details(self) -> dict[str, object]:
        """The size (height, width) that the network was trained at."""
        return {'input_size': list(self._box)}

    def _upsampler(
        self, size: tuple[int, int], seen: tuple[int, int], grid: tuple[int, int]
    ) -> LabelUpsampler:
        """The predictor's way from scores to labels of this size, without the padding."""
        padded = padded_size(seen, self._multiple)
        return LabelUpsampler(size, grid, origin(seen, padded), seen, padded[0] // grid[0])

    def _log_probabilities(self, image: Tensor) -> Tensor:
        seen = image.shape[2:]
        padded = padded_size(seen, self._multiple)
        top, left = origin(seen, padded)
        edges = left, padded[1] - seen[1] - left, top, padded[0] - seen[0] - top
        logarithms: Tensor = self.network(F.pad(normalised(image, self._mean, self._std), edges))
        return logarithms


def _tensors(image: np.ndarray, labels: np.ndarray) -> dict[str, Tensor]:
    return {
        'image': channels_first(image),
        'labels': torch.from_numpy(np.ascontiguousarray(labels)),
    }
