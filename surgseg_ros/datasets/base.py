"""What datasets of files share: finding images, checking class ids and options."""

from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from surgseg_ros.datasets.kinds import SegmentationDataset
from surgseg_ros.media.image_files import read_rgb
from surgseg_ros.metrics.segmentation import UNLABELLED

Dataset = TypeVar('Dataset')

_IMAGES = ('.png', '.jpg', '.jpeg')


class Frame(NamedTuple):
    """Files of one image; masks in the order in which later ones cover earlier ones."""

    name: str
    image: Path
    masks: tuple[Path, ...]


class FileDataset(SegmentationDataset):
    """A dataset whose images are files; what its masks mean is the subclass's."""

    def __init__(self, frames: Sequence[Frame], class_names: tuple[str, ...]) -> None:
        self._frames = frames
        self.class_names = class_names

    def __len__(self) -> int:
        """Number of images."""
        return len(self._frames)

    def name(self, index: int) -> str:
        """Return what image number index is called; IndexError beyond the last one."""
        return self._frames[index].name

    def image(self, index: int) -> np.ndarray:
        """HxWx3 uint8 RGB; ValueError if the file is missing or broken."""
        return read_rgb(self._frames[index].image)


def image_files(folder: Path, below: bool = False) -> list[Path]:
    """PNG and JPEG files of a folder by name; empty without the folder.

    below: include subfolders.
    Hidden ones, such as the ._NAME.png that macOS leaves in archives, are no images.
    """
    if not folder.is_dir():
        return []
    return sorted(
        file
        for file in (folder.rglob('*') if below else folder.iterdir())
        if file.suffix.lower() in _IMAGES and not file.name.startswith('.')
    )


def check_ids(labels: np.ndarray, class_names: Sequence[str], path: Path) -> np.ndarray:
    """Return the labels; ValueError if they have an id that is neither a class nor 255."""
    wrong = np.setdiff1d(np.unique(labels), [*range(len(class_names)), UNLABELLED])
    if wrong.size:
        raise ValueError(
            f'{path} has label {wrong[0]}, expected class ids 0 to '
            f'{len(class_names) - 1} or {UNLABELLED} for unlabelled'
        )
    return labels


def divided_ids(
    values: np.ndarray, factor: int, class_names: Sequence[str], path: Path
) -> np.ndarray:
    """HxW uint8 class ids of a mask's values, each factor x id; 255 that is none stays 255.

    Raises ValueError for another value: such a mask is written in another way than expected.
    """
    rest = values % factor > 0
    wrong = np.unique(values[rest & (values != UNLABELLED)])
    if wrong.size:
        raise ValueError(f'{path} has value {wrong[0]}, expected {factor} x class id')
    return check_ids(
        np.where(rest, UNLABELLED, values // factor).astype(np.uint8), class_names, path
    )


def opened(
    name: str, kind: Callable[..., Dataset], root: str | Path, split: str, **options: object
) -> Dataset:
    """Return kind(root, split, **options); ValueError if it does not take these options."""
    try:
        signature(kind).bind(Path(root), split, **options)
    except TypeError as error:
        raise ValueError(f'dataset {name} cannot be opened so: {error}') from error
    return kind(Path(root), split, **options)


def choose(value: str, known: Sequence[str], what: str) -> str:
    """Return value; ValueError if it is not one of the known ones."""
    if value not in known:
        raise ValueError(f'{what} is {value!r}, expected one of {", ".join(known)}')
    return value


def contents(folder: Path) -> str:
    """Describe the content of a folder in a few words, for errors."""
    if not folder.is_dir():
        return f'{folder} is not a folder'
    names = sorted(path.name for path in folder.iterdir())
    return f'{folder} has {", ".join(names[:6]) or "nothing"}{", ..." if names[6:] else ""}'
