"""Instances of Cityscapes (Cordts et al., CVPR 2016; cityscapes-dataset.com), its own layout."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surgseg_ros.datasets.base import choose, contents
from surgseg_ros.datasets.kinds import InstanceDataset, InstanceSample
from surgseg_ros.media.image_files import read_as_stored, read_rgb

# label ids of the classes that have instances
LABEL_IDS = {
    'person': 24,
    'rider': 25,
    'car': 26,
    'truck': 27,
    'bus': 28,
    'train': 31,
    'motorcycle': 32,
    'bicycle': 33,
}
_GROUP = 1000  # label id times this plus a number; below it a crowd's label id, or no instance


class Cityscapes(InstanceDataset):
    """ROOT/leftImg8bit/<split>/<city>/*_leftImg8bit.png and gtFine/... *_gtFine_instanceIds.png.

    classes: the names that count, in the order of their class ids; all eight by default. frames:
    so many images, evenly spaced over the split by name; all by default.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        classes: Sequence[str] = tuple(LABEL_IDS),
        frames: int | None = None,
    ) -> None:
        choose(split, ('train', 'val', 'test'), 'split')
        self._labels = [LABEL_IDS[choose(name, tuple(LABEL_IDS), 'class')] for name in classes]
        self.class_names = ('background', *classes)
        folder = root / 'leftImg8bit' / split
        files = sorted(folder.glob('*/*_leftImg8bit.png'))
        if not files:
            raise ValueError(
                f'there is no <city>/*_leftImg8bit.png in {folder}, expected the '
                f'layout of Cityscapes; {contents(root)}'
            )
        if frames is not None and not 0 < frames <= len(files):
            raise ValueError(f'frames is {frames}, expected 1 to {len(files)}')
        chosen = np.linspace(0, len(files) - 1, frames or len(files)).round().astype(int)
        self._files = [files[index] for index in chosen]
        self._truth = root / 'gtFine' / split

    def __len__(self) -> int:
        """Number of images."""
        return len(self._files)

    def __getitem__(self, index: int) -> InstanceSample:
        """See InstanceDataset."""
        path = self._files[index]
        name = path.name.removesuffix('_leftImg8bit.png')
        numbers = _read_numbers(self._truth / path.parent.name / f'{name}_gtFine_instanceIds.png')
        image = read_rgb(path)
        if numbers.shape != image.shape[:2]:
            raise ValueError(
                f'the instances of {name} are {numbers.shape[1]}x{numbers.shape[0]} '
                f'px, its image {image.shape[1]}x{image.shape[0]}'
            )
        every = np.unique(numbers)
        return InstanceSample(
            name,
            image,
            *self._regions(numbers, every[every >= _GROUP], _GROUP),
            *self._regions(numbers, every[every < _GROUP], 1),
        )

    def _regions(
        self, numbers: np.ndarray, found: np.ndarray, factor: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Class ids and masks of the numbers found that are a label id times the factor."""
        found = found[np.isin(found // factor, self._labels)]
        class_ids = [1 + self._labels.index(label) for label in found // factor]
        return np.array(class_ids, np.int64), numbers == found[:, None, None]


def _read_numbers(path: Path) -> np.ndarray:
    numbers = read_as_stored(path)
    if numbers.dtype != np.uint16 or numbers.ndim != 2:
        raise ValueError(f'{path} is not a 16-bit image of instance ids')
    return numbers
