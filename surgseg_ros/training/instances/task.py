"""What the tasks of instances share: keys of recipes, samples, COCO's average precision."""

import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from surgseg_ros import networks
from surgseg_ros.datasets import InstanceDataset, InstanceSample, open_dataset
from surgseg_ros.frames.foreign import say
from surgseg_ros.metrics.coco_checks import Json
from surgseg_ros.metrics.instances import average_precision, coco_truth, records
from surgseg_ros.training import recipe as recipes
from surgseg_ros.training.augmentation import Augmentation
from surgseg_ros.training.determinism import derive_seed
from surgseg_ros.training.start import Network, make_network
from surgseg_ros.training.task import Batch, Sample, Task
from surgseg_ros.training.tensors import channels_first, normalised

_MOST = 254  # instances that an image of uint8 numbers tells apart


@dataclass(frozen=True, kw_only=True)
class InstanceRecipe(recipes.Recipe):
    """The keys of every recipe for instances."""

    network: Network
    data: recipes.Data  # see datasets/instances.py
    augmentation: Mapping[str, object] = field(
        default_factory=dict
    )  # see training/augmentation.py


class Found(NamedTuple):
    """Instances of one frame: class_ids N from 1, scores N, masks N x H x W bool."""

    class_ids: np.ndarray
    scores: np.ndarray
    masks: np.ndarray


class TrainingSamples:
    """Augmented frames and their instances, the largest first; see task.Samples."""

    def __init__(self, dataset: InstanceDataset, augment: Augmentation, seed: int) -> None:
        self.dataset, self._augment, self._seed = dataset, augment, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """image: 3 x H x W uint8 RGB; class_ids: N; masks: N x H x W bool."""
        epoch, index = key
        image, class_ids, masks = augmented(
            self.dataset[index], self._augment, derive_seed(self._seed, epoch, index)
        )
        return {
            'image': channels_first(image),
            'class_ids': torch.from_numpy(class_ids),
            'masks': torch.from_numpy(masks),
        }


class ValidationSamples:
    """Frames as the network takes them, and the truth in the size of the dataset."""

    def __init__(
        self, dataset: InstanceDataset, resize: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.dataset, self._resize = dataset, resize

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """image: 3 x h x w uint8 RGB; size: (H, W) of the dataset's; truth: COCO's annotations."""
        sample = self.dataset[key[1]]
        return {
            'image': channels_first(self._resize(sample.image)),
            'size': sample.image.shape[:2],
            'truth': sample.annotations(0),
        }


class InstanceTask(Task):
    """An instance network, evaluated by COCO's average precision of masks."""

    def __init__(self, recipe: InstanceRecipe, kind: type[nn.Module]) -> None:
        """Open the data and make the network, which must be of this kind; no samples yet.

        Raises ValueError with one sentence where the recipe and the data do not fit.
        """
        wanted = recipe.network
        self.train_data, self.val_data = recipe.data.opened(_open_instances)
        for part, data in (('train', self.train_data), ('val', self.val_data)):
            _tell(part, data)
        self.class_names = self.train_data.class_names
        if self.val_data.class_names != self.class_names:
            raise ValueError('data.train and data.val have different classes')
        self.network_name = wanted.name
        self.network_options = {**wanted.options, 'num_classes': len(self.class_names) - 1}
        self.network = make_network(wanted, self.network_options, self.class_names)
        if not isinstance(self.network, kind):
            raise ValueError(f'the task {recipe.task} trains no {wanted.name}')
        spec = networks.spec(wanted.name)
        self._mean, self._std = spec.mean, spec.std

    def collate(self, samples: list[Sample]) -> Batch:
        """Images as one batch; the truth in lists for validation, else as targets."""
        batch = self.stack([sample['image'] for sample in samples])
        if 'truth' in samples[0]:
            return {**batch, **{key: [one[key] for one in samples] for key in ('size', 'truth')}}
        return {**batch, 'targets': self.targets(samples, batch['image'].shape[2:])}

    def stack(self, images: list[Tensor]) -> Batch:
        """'image': N x 3 x H x W of images 3 x H x W uint8; and further entries."""
        return {'image': torch.stack(images)}

    @abstractmethod
    def targets(self, samples: list[Sample], size: tuple[int, int]) -> Any:
        """What the loss compares with, of training samples in a batch of (height, width) px."""

    @abstractmethod
    def find(self, batch: Batch) -> list[Found]:
        """What the network finds in every frame of a validation batch, in the truth's size."""

    def measure(self, batch: Batch) -> list[tuple[tuple[int, int], list[Json], list[Json]]]:
        """Size, annotations and detections of every frame of a batch, in COCO's records."""
        return [
            (size, truth, records(0, found.class_ids, found.masks, found.scores))
            for size, truth, found in zip(
                batch['size'], batch['truth'], self.find(batch), strict=True
            )
        ]

    def metrics(self, measurements: list[Any]) -> dict[str, float]:
        """COCO's AP, AP50 and AP75 of the masks."""
        frames = [frame for batch in measurements for frame in batch]
        sizes = [size for size, _, _ in frames]
        truth, found = (
            [
                {**one, 'image_id': number}
                for number, frame in enumerate(frames, 1)
                for one in frame[kind]
            ]
            for kind in (1, 2)
        )
        result = average_precision(coco_truth(sizes, truth, self.class_names), found)
        return {'AP': result.ap, 'AP50': result.ap50, 'AP75': result.ap75}

    def normalised(self, image: Tensor) -> Tensor:
        """N x 3 x H x W uint8 RGB -> as the network takes it."""
        return normalised(image, self._mean, self._std)


def _tell(part: str, data: InstanceDataset) -> None:
    """Say what there is to learn, where that is known; ValueError if it is nothing."""
    for note in data.notes:
        say(f'data.{part}: {note}', to=sys.stderr)
    counts = data.counts()
    if counts is None:
        return
    total = sum(counts.instances.values())
    if not total:
        why = f': all {counts.crowds} annotations are crowds (iscrowd)' if counts.crowds else ''
        raise ValueError(f'data.{part} has no instance to learn in {counts.images} images{why}')
    each = ', '.join(f'{name} {counts.instances.get(name, 0)}' for name in data.class_names[1:])
    say(
        f'data.{part}: {counts.images} images, {total} instances, {counts.crowds} crowds; {each}',
        to=sys.stderr,
    )


def _open_instances(name: str, root: Path, split: str, **options: object) -> InstanceDataset:
    return open_dataset(name, root, split, 'instances', **options)


def augmented(
    sample: InstanceSample, augment: Augmentation, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, class ids and masks after augmentation, the largest first; what left it is gone.

    The masks go through it as one image of numbers, in which smaller instances cover larger ones.
    """
    numbers = np.zeros(sample.image.shape[:2], np.uint8)
    order = np.argsort(-sample.masks.sum(axis=(1, 2)), kind='stable')[:_MOST]
    for number, index in enumerate(order, 1):
        numbers[sample.masks[index]] = number
    image, numbers = augment(sample.image, numbers, seed)
    masks = numbers == np.arange(1, len(order) + 1)[:, None, None]
    areas = masks.sum(axis=(1, 2))
    kept = np.argsort(-areas, kind='stable')[: np.count_nonzero(areas)]
    return image, sample.class_ids[order][kept], masks[kept]
