"""EndoVis 2017 robotic instrument segmentation (Allan et al., 2019; arXiv 1902.06426).

ROOT or ROOT/train (ROOT/test for the challenge's test set) holds instrument_dataset_1, _2 ..., or
the challenge's archives as unpacked do (instrument_1_4_training, instrument_1_4_testing ...), in
one of two layouts:
- the challenge's: left_frames/frame000.png (1920x1080, the camera's 1280x1024 at x 320, y 28) with
  ground_truth/<instrument>_labels/frame000.png per instrument, of which parts are 10 shaft,
  20 wrist, 30 clasper, 40 other; or one mask for all in ground_truth/types (class ids), /parts
  (10, 20, 30, 40) or /binary; gt/TypeSegmentation, /PartsSegmentation, /BinarySegmentation in the
  test set's download;
- as prepared by ternaus/robot-surgery-segmentation: images/frame000.jpg with instruments_masks
  (32 x id), parts_masks (85 x part) and binary_masks.

Every mask above 0 is an instrument for target 'binary', the probe in Other_labels, too, as MSDESIS
has it; ternaus leaves that one out of parts and binary.

Only the challenge's <instrument>_labels distinguish the instruments. A mask of types
is no substitute, and neither are its connected parts: two instruments of a type that touch are one
of them, and an instrument behind another is two.
"""

from collections.abc import Iterator
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
from surgseg_ros.datasets.kinds import InstanceDataset, InstanceSample
from surgseg_ros.media.image_files import read_grey

TYPES = (
    'background',
    'Bipolar Forceps',
    'Prograsp Forceps',
    'Large Needle Driver',
    'Vessel Sealer',
    'Grasping Retractor',
    'Monopolar Curved Scissors',
    'Other',
)
PARTS = ('background', 'shaft', 'wrist', 'clasper', 'other')
BINARY = ('background', 'instrument')
CLASS_NAMES = {'types': TYPES, 'parts': PARTS, 'binary': BINARY}
FOLDS = ((1, 3), (2, 5), (4, 8), (6, 7))  # sequences left out for validation
TRAINING, TEST = range(1, 9), range(1, 11)
SPLITS = ('train', 'val', 'test')

_FRAMES = ('left_frames', 'left_frame', 'images')
_COMBINED = {  # folder of one mask for all instruments, and its factor
    'types': {'ground_truth/types': 1, 'gt/TypeSegmentation': 1, 'instruments_masks': 32},
    'parts': {'ground_truth/parts': 10, 'gt/PartsSegmentation': 10, 'parts_masks': 85},
    'binary': {'ground_truth/binary': 0, 'gt/BinarySegmentation': 0, 'binary_masks': 0},
}
_VIDEO, _CAMERA = (1080, 1920), np.s_[28 : 28 + 1024, 320 : 320 + 1280]


class EndoVis17(FileDataset):
    """Frames of the left camera with labels of one target.

    split: 'train' and 'val' divide the eight training sequences by `fold` (0 to 3, ternaus's and
    SurgicalSAM's); without a fold 'train' is all of them, as for the challenge, and there is no
    'val'. 'test': the challenge's ten test sequences.
    target: 'types' (TYPES), 'parts' (PARTS) or 'binary'.
    crop: cut the camera's picture out of 1920x1080 frames.
    """

    def __init__(
        self,
        root: Path,
        split: str = 'train',
        target: str = 'types',
        fold: int | None = None,
        crop: bool = True,
    ) -> None:
        self._target = choose(target, tuple(CLASS_NAMES), 'target')
        self._crop = crop
        folders = [_sequence(root, split, number) for number in sequences(split, fold)]
        frames = [frame for folder in folders for frame in _frames(folder, target)]
        super().__init__(frames, CLASS_NAMES[target])

    def image(self, index: int) -> np.ndarray:
        """HxWx3 uint8 RGB, 1280x1024 px if cropped."""
        return self._cropped(super().image(index))

    def labels(self, index: int) -> np.ndarray:
        """HxW uint8 class ids of the target, of the size of image()."""
        masks = self._frames[index].masks
        labels = _read(masks[0], self._target)
        for mask in masks[1:]:
            other = _read(mask, self._target)
            labels = np.where(other > 0, other, labels)
        return self._cropped(labels)

    def instances(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Class ids N (of TYPES) and masks N x H x W bool of the instruments in sight."""
        image = self._frames[index].image
        folders = instrument_folders(image.parents[1])
        masks = np.array(
            [self._cropped(read_grey(folder / f'{image.stem}.png')) > 0 for folder in folders]
        )
        class_ids = np.array([class_id(folder.name) for folder in folders], np.int64)
        seen = masks.any(axis=(1, 2))
        return class_ids[seen], masks[seen]

    def sequence(self, index: int) -> str:
        """'instrument_dataset_3': what challenge figures are averaged over."""
        return self.name(index).partition('/')[0]

    def _cropped(self, pixels: np.ndarray) -> np.ndarray:
        return pixels[_CAMERA] if self._crop and pixels.shape[:2] == _VIDEO else pixels


class EndoVis17Instances(InstanceDataset):
    """The instruments of EndoVis17 in the challenge's layout, its options except the target.

    An object in Other_labels, such as the ultrasound probe, is one, too. Where two instruments
    overlap, both masks may have a pixel.
    """

    class_names = TYPES

    def __init__(
        self, root: Path, split: str = 'train', fold: int | None = None, crop: bool = True
    ) -> None:
        self._frames = EndoVis17(root, split, 'types', fold, crop)
        for number in sequences(split, fold):
            instrument_folders(_sequence(root, split, number))

    def __len__(self) -> int:
        """Number of images."""
        return len(self._frames)

    def __getitem__(self, index: int) -> InstanceSample:
        """See InstanceDataset."""
        name, image = self._frames.name(index), self._frames.image(index)
        return InstanceSample(name, image, *self._frames.instances(index))


def instrument_folders(folder: Path) -> list[Path]:
    """Folders of masks of the instruments of a sequence; ValueError if there is none."""
    truth = folder / 'ground_truth'
    each = sorted(path for path in truth.glob('*_labels') if path.is_dir())
    if not each:
        raise ValueError(
            f'expected <instrument>_labels folders in {truth}; '
            f'{contents(truth if truth.is_dir() else folder)}'
        )
    return each


def sequences(split: str, fold: int | None = None) -> list[int]:
    """Numbers of the sequences of a split; ValueError for sequences that do not exist."""
    choose(split, SPLITS, 'split')
    if fold is not None and fold not in range(len(FOLDS)):
        raise ValueError(f'fold is {fold}, expected 0 to {len(FOLDS) - 1}')
    if split == 'test':
        return list(TEST)
    held_out = () if fold is None else FOLDS[fold]
    if split == 'val' and not held_out:
        raise ValueError('EndoVis 2017 has a val split only with a fold, expected fold 0 to 3')
    return [number for number in TRAINING if (number in held_out) == (split == 'val')]


def class_id(folder: str) -> int:
    """Class id of an instrument's folder, say Left_Prograsp_Forceps_labels; ValueError if none."""
    for number, name in enumerate(TYPES):
        if number and name.replace(' ', '_') in folder:
            return number
    raise ValueError(
        f'{folder} is no instrument of EndoVis 2017, expected a folder named after '
        f'one of {", ".join(TYPES[1:])}'
    )


def _sequence(root: Path, split: str, number: int) -> Path:
    name = f'instrument_dataset_{number}'
    kind = 'test' if split == 'test' else 'train'
    places = [root / kind, root]
    places += [path for place in places for path in sorted(place.glob(f'*_{kind}ing'))]
    for place in places:
        if (place / name).is_dir():
            return place / name
    place = places[0] if places[0].is_dir() else root
    raise ValueError(
        f'expected {name} with left_frames and ground_truth in {root} or '
        f'{places[0]}; {contents(place)}'
    )


def _frames(folder: Path, target: str) -> Iterator[Frame]:
    images = next(filter(None, (image_files(folder / name) for name in _FRAMES)), [])
    if not images:
        raise ValueError(f'expected images in left_frames of {folder}; {contents(folder)}')
    masks = _mask_folders(folder, target)
    for image in images:
        files = tuple(mask / f'{image.stem}.png' for mask in masks)
        yield Frame(f'{folder.name}/{image.stem}', image, files)


def _mask_folders(folder: Path, target: str) -> list[Path]:
    combined = [folder / name for name in _COMBINED[target] if (folder / name).is_dir()]
    if combined:
        return combined[:1]
    try:
        return instrument_folders(folder)
    except ValueError as error:
        raise ValueError(
            f'{error}; {" or ".join(_COMBINED[target])} in {folder} would do, too'
        ) from None


def _read(mask: Path, target: str) -> np.ndarray:
    """HxW uint8 class ids that one mask file says."""
    values = read_grey(mask)
    factor = _factor(mask.parent, target)
    if target == 'binary' or factor is None and target == 'types':
        number = 1 if target == 'binary' else class_id(mask.parent.name)
        return np.where(values > 0, number, 0).astype(np.uint8)
    if factor is None and class_id(mask.parent.name) == TYPES.index('Other'):
        return np.where(values > 0, PARTS.index('other'), 0).astype(np.uint8)
    return divided_ids(values, factor or 10, CLASS_NAMES[target], mask)


def _factor(folder: Path, target: str) -> int | None:
    """Factor of a combined mask, None for a folder of one instrument."""
    names = _COMBINED[target]
    return next((names[name] for name in names if folder.match(name)), None)
