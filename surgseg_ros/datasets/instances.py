"""Datasets of instances, by name: images, each with a mask and a class per instance. No torch."""

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from surgseg_ros.datasets.base import opened
from surgseg_ros.metrics.coco_checks import Json
from surgseg_ros.metrics.instances import records

_DATASETS = {
    'cityscapes': 'surgseg_ros.datasets.cityscapes:Cityscapes',
    'coco': 'surgseg_ros.datasets.coco:CocoInstances',
    'endovis17': 'surgseg_ros.datasets.endovis17:EndoVis17Instances',
    'simulated': 'surgseg_ros.datasets.instances:SimulatedInstances',
}


class InstanceSample(NamedTuple):
    """name: unique in its dataset. image: HxWx3 uint8 RGB.

    class_ids: N int64, indices into class_names. masks: N x H x W bool, none of them empty; they
    may overlap where the dataset lets them. crowd_ids, crowd_masks: the same of regions in which
    nobody has told the instances apart: nothing to learn, and nothing is right or wrong there.
    """

    name: str
    image: np.ndarray
    class_ids: np.ndarray
    masks: np.ndarray
    crowd_ids: np.ndarray = np.zeros(0, np.int64)
    crowd_masks: np.ndarray = np.zeros((0, 0, 0), bool)

    def annotations(self, image_id: int) -> list[Json]:
        """COCO's annotations of the image, instances and crowds; the class ids are the categories.

        Their areas are those of the masks, where COCO's own are those of its polygons.
        """
        return records(image_id, self.class_ids, self.masks) + records(
            image_id, self.crowd_ids, self.crowd_masks, crowd=True
        )


class InstanceDataset(ABC):
    """A sequence of InstanceSample that reads its files when an item is asked for.

    class_names: by class id, the background first, which no instance has.
    """

    class_names: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def __getitem__(self, index: int) -> InstanceSample:
        """IndexError beyond the last one; ValueError for a broken file."""


def available() -> tuple[str, ...]:
    """Names that open_instances() knows."""
    return tuple(_DATASETS)


def open_instances(name: str, root: str | Path, split: str, **options: Any) -> InstanceDataset:
    """Open the split of a dataset in folder root; options as its class takes them.

    Raises ValueError with one sentence for an unknown name, split or option, and for a folder of
    another layout.
    """
    if name not in _DATASETS:
        raise ValueError(
            f'no dataset of instances is called {name!r}; known: {", ".join(_DATASETS)}'
        )
    module, _, attribute = _DATASETS[name].partition(':')
    kind: type[InstanceDataset] = getattr(import_module(module), attribute)
    return opened(name, kind, root, split, **options)


def instances_of(labels: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class ids N and masks N x H x W of the instances that an image of numbers tells apart.

    labels: HxW class ids. numbers: HxW, 0 none. An instance has the class most of its pixels have.
    """
    found = [number for number in np.unique(numbers) if number]
    masks = np.array([numbers == number for number in found]).reshape(-1, *numbers.shape)
    class_ids = [np.bincount(labels[mask]).argmax() for mask in masks]
    return np.array(class_ids, np.int64), masks


class SimulatedInstances(InstanceDataset):
    """Instruments of the virtual endoscope; options as Simulated's, whose files these are."""

    def __init__(self, root: Path, split: str = 'train', **options: Any) -> None:
        from surgseg_ros.datasets.simulated import Simulated

        self._frames = opened('simulated', Simulated, root, split, **options)
        self.class_names = self._frames.class_names

    def __len__(self) -> int:
        """Number of images."""
        return len(self._frames)

    def __getitem__(self, index: int) -> InstanceSample:
        """See InstanceDataset."""
        name, image, labels = self._frames[index]
        return InstanceSample(name, image, *instances_of(labels, self._frames.instances(index)))
