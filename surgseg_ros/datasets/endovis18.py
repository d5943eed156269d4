"""EndoVis 2018 with ISINet's instrument types, laid out as SurgicalSAM's authors publish it.

    ROOT/train/VERSION/images/SEQ/FRAME.png                     version 0 is not augmented
    ROOT/train/VERSION/binary_annotations/SEQ/FRAME_class3.png  above 0: the class
    ROOT/val/images/SEQ/FRAME.png
    ROOT/val/annotations/SEQ/FRAME.png                          class ids
    ROOT/val/binary_annotations/SEQ/FRAME_class3.png            where annotations are not there

The published download has no val/images (it has SAM features instead): add the challenge's frames,
or read labels only.
All masks are one per class and do not tell two instruments of a class from each other: this is no
dataset of instances.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surgseg_ros.datasets.base import FileDataset, Frame, check_ids, choose, contents, image_files
from surgseg_ros.media.image_files import read_grey

CLASSES = (
    'background',
    'Bipolar Forceps',
    'Prograsp Forceps',
    'Large Needle Driver',
    'Monopolar Curved Scissors',
    'Ultrasound Probe',
    'Suction Instrument',
    'Clip Applier',
)
VERSIONS = 40  # augmented ones, beside version 0
SPLITS = ('train', 'val')

_MASK = re.compile(r'(?P<frame>.+)_class(?P<id>\d+)')


class EndoVis18(FileDataset):
    """Frames of one split with instrument types.

    version: 0 to 40, which of the augmented copies of the training split.
    labels_only: images may be missing; ValueError if they are otherwise.
    """

    def __init__(
        self, root: Path, split: str = 'train', version: int = 0, labels_only: bool = False
    ) -> None:
        choose(split, SPLITS, 'split')
        if version not in range(VERSIONS + 1) or (split == 'val' and version):
            raise ValueError(
                f'version is {version}, expected 0 to {VERSIONS} in split train and 0 in split val'
            )
        self._folder = root / split / (str(version) if split == 'train' else '')
        frames = _frames(self._folder)
        if not labels_only:
            _check_images(frames, self._folder)
        super().__init__(frames, CLASSES)

    def labels(self, index: int) -> np.ndarray:
        """HxW uint8 class ids; where masks of classes overlap, the higher id."""
        masks = self._frames[index].masks
        if not masks:
            return np.zeros(self.image(index).shape[:2], np.uint8)
        if not _MASK.fullmatch(masks[0].stem):
            return check_ids(read_grey(masks[0]), CLASSES, masks[0])
        labels = np.zeros(read_grey(masks[0]).shape, np.uint8)
        for mask in masks:
            labels[read_grey(mask) > 0] = mask_class(mask)
        return labels


def mask_class(mask: Path) -> int:
    """Class id in the name of a mask, say 00149_class3.png; ValueError if there is none."""
    match = _MASK.fullmatch(mask.stem)
    if not match or not 0 < int(match['id']) < len(CLASSES):
        raise ValueError(
            f'{mask} is no mask of a class, expected FRAME_class1.png to '
            f'FRAME_class{len(CLASSES) - 1}.png'
        )
    return int(match['id'])


def _frames(folder: Path) -> list[Frame]:
    annotated = {_key(file): file for file in _files(folder / 'annotations')}
    binary = defaultdict(list)
    for file in sorted(_files(folder / 'binary_annotations'), key=mask_class):
        binary[_key(file)].append(file)
    if not annotated and not binary:
        raise ValueError(
            f'expected SEQUENCE/FRAME_class<id>.png in {folder}/binary_annotations; '
            f'{contents(folder)}'
        )
    images = {_key(file): file for file in _files(folder / 'images')}
    return [
        Frame(
            key,
            images.get(key, folder / 'images' / f'{key}.png'),
            (annotated[key],) if key in annotated else tuple(binary[key]),
        )
        for key in sorted({*images, *annotated, *binary})
    ]


def _check_images(frames: Sequence[Frame], folder: Path) -> None:
    missing = [frame.image for frame in frames if not frame.image.is_file()]
    if missing:
        raise ValueError(
            f'{folder}/images lacks {len(missing)} of {len(frames)} frames that have '
            f'masks, such as {missing[0]}; add the frames of the challenge'
        )


def _files(folder: Path) -> list[Path]:
    sequences = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for sequence in sequences for file in image_files(sequence)]


def _key(file: Path) -> str:
    """Sequence and frame of an image or a mask: 'seq_2/00149'."""
    match = _MASK.fullmatch(file.stem)
    return f'{file.parent.name}/{match["frame"] if match else file.stem}'
