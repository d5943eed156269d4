"""Cata7: cataract surgery, ten instruments (LWANet, ICRA 2020, section IV-A).

1800 training and 700 test frames of 1920x1080 px; labels are grey values, 20 x class id. The data
are given out by their authors on request, without a documented tree; expected here is
ROOT/{train,test}/{images,labels}/NAME.png. Which grey value is which instrument is not published
either, so the classes are numbered unless class_names says more.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surgseg_ros.datasets.base import (
    FileDataset,
    Frame,
    choose,
    contents,
    divided_ids,
    image_files,
)
from surgseg_ros.media.image_files import read_grey

CLASSES = ('background', *(f'instrument {number}' for number in range(1, 11)))
STEP = 20  # grey values from one class to the next
SPLITS = ('train', 'test')


class Cata7(FileDataset):
    """Frames of one split. class_names: of the ten instruments, by class id from 1."""

    def __init__(
        self, root: Path, split: str = 'train', class_names: Sequence[str] | None = None
    ) -> None:
        choose(split, SPLITS, 'split')
        if not isinstance(class_names, list | tuple | None):
            raise ValueError(f'class_names is {class_names!r}, expected a list of names')
        names = CLASSES if class_names is None else ('background', *class_names)
        if len(names) != len(CLASSES):
            raise ValueError(
                f'class_names has {len(names) - 1} names, expected '
                f'{len(CLASSES) - 1}, by class id from 1'
            )
        super().__init__(_frames(root / split), names)

    def labels(self, index: int) -> np.ndarray:
        """HxW uint8 class ids."""
        file = self._frames[index].masks[0]
        return divided_ids(read_grey(file), STEP, self.class_names, file)


def _frames(folder: Path) -> list[Frame]:
    images = image_files(folder / 'images')
    if not images or not image_files(folder / 'labels'):
        raise ValueError(
            f'expected images/NAME.png and labels/NAME.png in {folder}; {contents(folder)}'
        )
    return [
        Frame(image.stem, image, (folder / 'labels' / f'{image.stem}.png',)) for image in images
    ]
