"""The three kinds of datasets: images with labels, with instances, and stereo pairs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.metrics.coco_checks import Json
from surgseg_ros.metrics.instances import records


class SegmentationSample(NamedTuple):
    """name: unique in its dataset, without a suffix. image: HxWx3 uint8 RGB.

    labels: HxW uint8 class ids, 0 background, 255 unlabelled.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray


class InstanceSample(NamedTuple):
    """name: unique in its dataset. image: HxWx3 uint8 RGB.

    class_ids: N int64, indices into class_names. masks: N x H x W bool, none of them empty; they
    may overlap where the dataset lets them. crowd_ids, crowd_masks: the same of regions in which
    instances are not annotated separately: not used for training or evaluation.
    track_ids: N int64, the same for an instance in every frame of its sequence; None unknown.
    """

    name: str
    image: np.ndarray
    class_ids: np.ndarray
    masks: np.ndarray
    crowd_ids: np.ndarray = np.zeros(0, np.int64)
    crowd_masks: np.ndarray = np.zeros((0, 0, 0), bool)
    track_ids: np.ndarray | None = None

    def annotations(self, image_id: int) -> list[Json]:
        """COCO's annotations of the image, instances and crowds; the class ids are the categories.

        Their areas are those of the masks, where COCO's own are those of its polygons.
        """
        return records(image_id, self.class_ids, self.masks) + records(
            image_id, self.crowd_ids, self.crowd_masks, crowd=True
        )


class StereoSample(NamedTuple):
    """name: unique in its dataset. left, right: HxWx3 uint8 RGB, a rectified pair.

    disparity: HxW float32 px (x_left - x_right) in the left view, NaN unknown; None where the
    dataset has none. labels: HxW uint8 class ids of the left view, None where it has none.
    """

    name: str
    left: np.ndarray
    right: np.ndarray
    disparity: np.ndarray | None = None
    labels: np.ndarray | None = None
    calibration: StereoCalibration | None = None


class SegmentationDataset(ABC):
    """A sequence of SegmentationSample that reads its files when an item is asked for.

    class_names: by class id, the background first.
    """

    class_names: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return what image number index is called; IndexError beyond the last one."""

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """HxWx3 uint8 RGB."""

    @abstractmethod
    def labels(self, index: int) -> np.ndarray:
        """HxW uint8 class ids, 255 unlabelled."""

    def __getitem__(self, index: int) -> SegmentationSample:
        """Read image and labels; IndexError beyond the last, ValueError for a broken file."""
        name, image, labels = self.name(index), self.image(index), self.labels(index)
        check_same_size(name, image, labels, 'labels')
        return SegmentationSample(name, image, labels)


class InstanceCounts(NamedTuple):
    """images: how many. instances: how many of each class, by name. crowds: regions of several."""

    images: int
    instances: Mapping[str, int]
    crowds: int


class InstanceDataset(ABC):
    """A sequence of InstanceSample that reads its files when an item is asked for.

    class_names: by class id, the background first, which no instance has. notes: what had to be
    made of the files, in a sentence each.
    """

    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def __getitem__(self, index: int) -> InstanceSample:
        """IndexError beyond the last one; ValueError for a broken file."""

    def counts(self) -> InstanceCounts | None:
        """What there is to learn, where that is known without reading every image."""
        return None


class StereoDataset(ABC):
    """A sequence of StereoSample that reads its files when an item is asked for.

    class_names: of the labels, by class id, the background first; empty without labels.
    """

    class_names: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of pairs."""

    @abstractmethod
    def __getitem__(self, index: int) -> StereoSample:
        """IndexError beyond the last one; ValueError for a broken file."""


def check_same_size(name: str, image: np.ndarray, other: np.ndarray, what: str) -> None:
    """ValueError if another picture of the sample called name is not as large as its image."""
    if other.shape[:2] != image.shape[:2]:
        raise ValueError(f'the {what} of {name} are {_size(other)}, its image {_size(image)}')


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
