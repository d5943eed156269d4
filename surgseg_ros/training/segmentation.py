"""The task of LWANet, and of any network that gives class log-probabilities per pixel.

LWANet: Ni et al., ICRA 2020, arXiv:1910.11109, sections III.D and IV.B.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from surgseg_ros import datasets, networks
from surgseg_ros.metrics.segmentation import UNLABELLED, ConfusionMatrix, mean_over_classes
from surgseg_ros.networks.checkpoints import load_but
from surgseg_ros.predictors.fitting import centred, fitting_size, origin, padded_size
from surgseg_ros.predictors.label_upsampling import LabelUpsampler
from surgseg_ros.predictors.preprocess import resize
from surgseg_ros.training import recipe as recipes
from surgseg_ros.training.augmentation import Augmentation, make_augmentation, resize_labels
from surgseg_ros.training.determinism import derive_seed
from surgseg_ros.training.encoder import load_encoder
from surgseg_ros.training.losses.focal import focal_loss
from surgseg_ros.training.task import Task
from surgseg_ros.training.tensors import channels_first, normalised


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained, and from which weights."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)  # but num_classes
    imagenet: str | None = None     # torchvision's checkpoint for the encoder; null: random
    encoder: str | None = None      # a checkpoint of LWANet, for its MobileNetV2; null: none
    weights: str | None = None      # a whole checkpoint to start from; null: none
    weights_but: tuple[str, ...] = ()  # but tensors with these prefixes: those of other classes


@dataclass(frozen=True, kw_only=True)
class Data:
    """Images and labels, and the size at which the network sees them."""

    name: str
    root: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of the dataset, for both splits
    train: Mapping[str, Any] = field(default_factory=lambda: {'split': 'train'})
    val: Mapping[str, Any] = field(default_factory=lambda: {'split': 'val'})
    height: recipes.Count           # px; others fit in with their aspect ratio, and are padded
    width: recipes.Count


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Focal loss."""

    gamma: recipes.NotNegative = 6.0
    full_size: bool = False         # at the size of the images, not of the network's output


@dataclass(frozen=True, kw_only=True)
class SegmentationRecipe(recipes.Recipe):
    """The keys of a recipe of this task."""

    network: Network
    data: Data
    augmentation: Mapping[str, Any] = field(default_factory=dict)  # see training/augmentation.py
    loss: Loss = field(default_factory=Loss)


class TrainingSamples:
    """Images and labels, fitted into one size and changed at random; see task.Samples."""

    def __init__(self, dataset: datasets.SegmentationDataset, size: tuple[int, int],
                 fill: Sequence[int], augment: Augmentation, seed: int) -> None:
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
            raise ValueError(f'{recipe.network.name} takes images whose sides are multiples of '
                             f'{spec.multiple} px, not {data.width}x{data.height}')
        train, val = (
            datasets.open_dataset(data.name, Path(data.root).expanduser(), **data.options, **split)
            for split in (data.train, data.val))
        augment = make_augmentation(recipe.augmentation, (data.height, data.width))
        self._box = data.height, data.width
        fill = [round(255 * mean) for mean in spec.mean]  # as predictors pad, nearly
        self.train_samples = TrainingSamples(train, self._box, fill, augment, seed)
        self.val_samples = ValidationSamples(val, self._box)
        self.class_names = train.class_names
        self.network_name = recipe.network.name
        self.network_options = {**recipe.network.options, 'num_classes': len(self.class_names)}
        self.network = make_network(recipe.network, self.network_options)
        self._loss = recipe.loss
        self._mean, self._std, self._multiple = spec.mean, spec.std, spec.multiple

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Focal loss at the size of the network's output, as published, or at full size."""
        output, labels = self._log_probabilities(batch['image']), batch['labels']
        if self._loss.full_size:
            output = F.interpolate(output.float(), labels.shape[1:], mode='bilinear')
        else:
            labels = F.interpolate(labels[:, None], output.shape[2:], mode='nearest-exact')[:, 0]
        return {'loss': focal_loss(output, labels, self._loss.gamma)}

    def measure(self, batch: dict[str, Any]) -> np.ndarray:
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
            **{f'IoU/{name}': float(iou)
               for name, iou in zip(self.class_names, matrix.iou, strict=True)},
        }

    def details(self) -> dict[str, Any]:
        """The size (height, width) that the network was trained at."""
        return {'input_size': list(self._box)}

    def _upsampler(self, size: tuple[int, int], seen: tuple[int, int], grid: tuple[int, int]
                   ) -> LabelUpsampler:
        """The predictor's way from scores to labels of this size, without the padding."""
        padded = padded_size(seen, self._multiple)
        return LabelUpsampler(size, grid, origin(seen, padded), seen, padded[0] // grid[0])

    def _log_probabilities(self, image: Tensor) -> Tensor:
        seen = image.shape[2:]
        padded = padded_size(seen, self._multiple)
        top, left = origin(seen, padded)
        edges = left, padded[1] - seen[1] - left, top, padded[0] - seen[0] - top
        return self.network(F.pad(normalised(image, self._mean, self._std), edges))


def _tensors(image: np.ndarray, labels: np.ndarray) -> dict[str, Tensor]:
    return {'image': channels_first(image),
            'labels': torch.from_numpy(np.ascontiguousarray(labels))}


def make_network(wanted: Network, options: Mapping[str, Any]) -> torch.nn.Module:
    """The network with the weights that it shall start from."""
    if 'num_classes' in wanted.options:
        raise ValueError('network.options.num_classes is what the data has: leave it out')
    try:
        network: Any = networks.create(wanted.name, **options)
    except TypeError as error:
        raise ValueError(f'network.options do not suit {wanted.name}: {error}') from error
    if wanted.weights is None and wanted.weights_but:
        raise ValueError('network.weights_but needs network.weights')
    if wanted.imagenet is not None:
        if not hasattr(network, 'load_imagenet'):
            raise ValueError(f'{wanted.name} has no backbone of ImageNet: '
                             'network.imagenet must be null')
        network.load_imagenet(Path(wanted.imagenet).expanduser())
    if wanted.encoder is not None:
        load_encoder(network, wanted.name, Path(wanted.encoder).expanduser())
    if wanted.weights is not None:
        _load(network, Path(wanted.weights).expanduser(), wanted.weights_but)
    return cast(torch.nn.Module, network)


def _load(network: torch.nn.Module, path: Path, but: tuple[str, ...]) -> None:
    """Load a checkpoint strictly, but tensors with these prefixes; say which stay random."""
    left_out = load_but(network, path, but)
    if left_out:
        print(f'{path}: all but {len(left_out)} tensors, which start anew: '
              f'{", ".join(left_out)}', file=sys.stderr)
