"""The task of FASSST: instances from a box per grid cell (networks/fassst.py, section 3.5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from surgseg_ros import networks
from surgseg_ros.datasets.instances import InstanceDataset, InstanceSample, open_instances
from surgseg_ros.metrics.instances import average_precision, coco_truth, records
from surgseg_ros.networks.fassst import Fassst
from surgseg_ros.networks.fassst_decode import decode
from surgseg_ros.predictors.results import mask_boxes
from surgseg_ros.training import recipe as recipes
from surgseg_ros.training.augmentation import Augmentation, make_augmentation, resize
from surgseg_ros.training.determinism import derive_seed
from surgseg_ros.training.losses.fassst import Targets, fassst_loss
from surgseg_ros.training.segmentation import Network, make_network
from surgseg_ros.training.task import Task


@dataclass(frozen=True, kw_only=True)
class Data:
    """Images and instances; the network's size is the network's."""

    name: str                       # see datasets/instances.py
    root: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of the dataset, for both
    train: Mapping[str, Any] = field(default_factory=lambda: {'split': 'train'})
    val: Mapping[str, Any] = field(default_factory=lambda: {'split': 'val'})


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Weights of the three parts."""

    mask: float = 5.75
    location: float = 3.0
    classification: float = 1.25


@dataclass(frozen=True, kw_only=True)
class FassstRecipe(recipes.Recipe):
    """The keys of a recipe of this task."""

    network: Network
    data: Data
    augmentation: Mapping[str, Any] = field(default_factory=dict)  # see training/augmentation.py
    loss: Loss = field(default_factory=Loss)


class FassstSamples:
    """Frames as the network takes them, and what it shall find; see task.Samples."""

    def __init__(self, dataset: InstanceDataset, size: int, grid: int,
                 augment: Augmentation | None = None, seed: int = 0) -> None:
        """augment: None for validation, where masks keep the dataset's size."""
        self.dataset, self._size, self._grid = dataset, size, grid
        self._augment, self._seed = augment, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """image: 3 x size x size uint8 RGB; class_ids: N; masks: N x H x W bool.

        For training also boxes: N x 4 fractions, and cells: N; the n largest instances.
        """
        epoch, index = key
        sample = self.dataset[index]
        if self._augment is None:
            image = resize(sample.image, self._size, self._size)
            return {'image': _tensor(image), 'class_ids': torch.from_numpy(sample.class_ids),
                    'masks': torch.from_numpy(sample.masks)}
        image, class_ids, masks = augmented(
            sample, self._augment, derive_seed(self._seed, epoch, index))
        largest = np.argsort(-masks.sum(axis=(1, 2)), kind='stable')[: self._grid**2]
        class_ids, masks = class_ids[largest], masks[largest]
        boxes = mask_boxes(masks) / np.float32(self._size)
        return {'image': _tensor(image), 'class_ids': torch.from_numpy(class_ids),
                'masks': torch.from_numpy(masks), 'boxes': torch.from_numpy(boxes),
                'cells': torch.from_numpy(assign_cells(boxes, self._grid))}


class FassstTask(Task):
    """The three losses of the paper; COCO's average precision."""

    Recipe = FassstRecipe
    network: Fassst

    def __init__(self, recipe: FassstRecipe) -> None:
        """Raises ValueError with one sentence where the recipe and the data do not fit."""
        data, seed = recipe.data, recipe.seed
        train, val = (
            open_instances(data.name, Path(data.root).expanduser(), **{**data.options, **part})
            for part in (data.train, data.val))
        self.class_names = train.class_names
        self.network_name = recipe.network.name
        self.network_options = {
            **recipe.network.options, 'num_classes': len(self.class_names) - 1}
        network = make_network(recipe.network, self.network_options)
        if not isinstance(network, Fassst):
            raise ValueError(f'the task fassst trains no {recipe.network.name}')
        self.network = network
        size, grid = network.size, network.attention.grid
        augment = make_augmentation({'border_label': 0, **recipe.augmentation}, (size, size))
        self.train_samples = FassstSamples(train, size, grid, augment, seed)
        self.val_samples = FassstSamples(val, size, grid)
        spec = networks.spec(recipe.network.name)
        self._mean, self._std, self._loss = spec.mean, spec.std, recipe.loss

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Images stacked, instances filled up to the same number; in lists for validation."""
        image = torch.stack([sample['image'] for sample in samples])
        if 'boxes' not in samples[0]:
            keys = ('class_ids', 'masks')
            return {'image': image, **{key: [one[key] for one in samples] for key in keys}}
        most = max(1, *(len(sample['cells']) for sample in samples))
        filled = {key: torch.stack([_fill(sample[key], most) for sample in samples])
                  for key in ('class_ids', 'masks', 'boxes', 'cells')}
        return {'image': image, **filled}

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Dice, localisation and classification, weighted."""
        targets = Targets(
            valid=batch['class_ids'] > 0,
            boxes=batch['boxes'],
            classes=(batch['class_ids'] - 1).clamp(min=0),
            cells=batch['cells'],
            masks=batch['masks'],
        )
        weights = self._loss
        return fassst_loss(self.network, self._normalised(batch['image']), targets,
                           weights.mask, weights.location, weights.classification)

    def measure(self, batch: dict[str, Any]) -> list[tuple[tuple[int, int], list, list]]:
        """Size, annotations and detections of every image of a batch, in COCO's records."""
        outputs = self.network(self._normalised(batch['image']))
        arrays = zip(*(output.float().cpu().numpy() for output in outputs), strict=True)
        measured = []
        frames = zip(arrays, batch['class_ids'], batch['masks'], strict=True)
        for (boxes, scores, logits), class_ids, masks in frames:
            size = masks.shape[1], masks.shape[2]
            found = decode(boxes, scores, logits, size)
            truth = records(0, class_ids.cpu().numpy(), masks.cpu().numpy())
            measured.append((size, truth, records(0, found.class_ids, found.masks, found.scores)))
        return measured

    def metrics(self, measurements: list[Any]) -> dict[str, float]:
        """COCO's AP, AP50 and AP75 of the masks."""
        frames = [frame for batch in measurements for frame in batch]
        sizes = [size for size, _, _ in frames]
        truth, found = (
            [{**one, 'image_id': number} for number, frame in enumerate(frames, 1)
             for one in frame[kind]] for kind in (1, 2))
        result = average_precision(coco_truth(sizes, truth, self.class_names), found)
        return {'AP': result.ap, 'AP50': result.ap50, 'AP75': result.ap75}

    def details(self) -> dict[str, Any]:
        """The size (height, width) that the network was trained at."""
        return {'input_size': [self.network.size, self.network.size]}

    def _normalised(self, image: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, device=image.device).view(1, 3, 1, 1)
                     for values in (self._mean, self._std))
        return (image / 255 - mean) / std


def augmented(sample: InstanceSample, augment: Augmentation, seed: int
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, class ids and masks after augmentation; what has left the image is gone.

    The masks go through it as one image of numbers, in which smaller instances cover larger ones.
    """
    numbers = np.zeros(sample.image.shape[:2], np.uint8)
    order = np.argsort(-sample.masks.sum(axis=(1, 2)), kind='stable')[:254]
    for number, index in enumerate(order, 1):
        numbers[sample.masks[index]] = number
    image, numbers = augment(sample.image, numbers, seed)
    masks = numbers == np.arange(1, len(order) + 1)[:, None, None]
    seen = masks.any(axis=(1, 2))
    return image, sample.class_ids[order][seen], masks[seen]


def assign_cells(boxes: np.ndarray, grid: int) -> np.ndarray:
    """The cell that answers for each instance, N int64, each cell for one at most.

    boxes: N x 4 fractions, at most grid^2, the first ones choose first. It is the cell that the
    box's centre lies in or, where that is taken, the free one whose centre is nearest.
    """
    centres = (np.arange(grid) + 0.5) / grid
    cells = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    chosen = np.empty(len(boxes), np.int64)
    for index, box in enumerate(boxes):
        chosen[index] = np.abs(cells - (box[:2] + box[2:]) / 2).max(axis=1).argmin()
        cells[chosen[index]] = np.inf
    return chosen


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _fill(values: Tensor, count: int) -> Tensor:
    """Zeros behind the values, up to so many of them."""
    return F.pad(values, (0, 0) * (values.ndim - 1) + (0, count - len(values)))
