"""A user's own images with labels, or stereo pairs with disparity, in plain folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros.datasets.base import FileDataset, Frame, choose, contents, image_files
from surgseg_ros.datasets.disparity_files import SUFFIXES, read_disparity
from surgseg_ros.datasets.kinds import StereoDataset, StereoSample, check_same_size
from surgseg_ros.datasets.label_images import Colour, read_labels
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.foreign import parse_json, read_text
from surgseg_ros.geometry.calibration_files import read_calibration
from surgseg_ros.media.image_files import read_rgb
from surgseg_ros.metrics.segmentation import UNLABELLED

SPLITS = ('train', 'val', 'test')
CLASSES = ('classes.json', 'classes.txt')


class FolderLabels(FileDataset):
    """ROOT/images/NAME.jpg (or .png) and ROOT/labels/NAME.png, also in folders below both.

    classes: names by class id, the background first, or {name: id} or {name: [r, g, b]}; by
        default those of ROOT/classes.json (the same forms) or classes.txt (a name per line).
        Without any, label 0 is the background and everything else one class, `tool`.
    split: where ROOT has train/ and val/ (each with images/ and labels/), these; else
        ROOT/train.txt and val.txt with a name per line; else a fraction of the images.
    val_fraction: of the images, evenly spaced, that are validated with and not trained on.
    Label 255 is unlabelled. Raises ValueError that names the file and the value.
    """

    def __init__(
        self,
        root: Path,
        split: str = 'train',
        classes: Sequence[str] | Mapping[str, Any] | None = None,
        val_fraction: float = 0.2,
        labels: str = 'labels',
    ) -> None:
        choose(split, SPLITS, 'split')
        names, self._colours, self._ids = _classes(root, classes)
        self._binary = names is None
        super().__init__(
            _chosen(root, split, val_fraction, labels), names or ('background', 'tool')
        )

    def labels(self, index: int) -> np.ndarray:
        """HxW uint8 class ids, 255 unlabelled."""
        path = self._frames[index].masks[0]
        if not self._binary:
            return read_labels(path, self.class_names, self._colours, self._ids)
        values = read_labels(path, ['any'] * UNLABELLED)
        return np.where((values > 0) & (values < UNLABELLED), 1, values).astype(np.uint8)


class FolderStereo(StereoDataset):
    """ROOT/left/NAME.png, ROOT/right/NAME.png and ROOT/disparity/NAME.png (or .tiff, .npy).

    A rectified pair; disparity is px of the left view, 0 (or NaN) unknown; the folder may be
    missing. scale: value per px in 16-bit PNG. split, val_fraction: as for labels. calibration:
    file, below ROOT unless absolute; by default ROOT/calibration.yaml if it is there.
    """

    def __init__(
        self,
        root: Path,
        split: str = 'train',
        scale: float = 128.0,
        val_fraction: float = 0.2,
        calibration: str | None = None,
    ) -> None:
        choose(split, SPLITS, 'split')
        place = root / split if (root / split).is_dir() else root
        left = image_files(place / 'left', below=True)
        if not left:
            raise ValueError(
                f'expected left/NAME.png and right/NAME.png in {place}; {contents(place)}'
            )
        names = [file.relative_to(place / 'left').with_suffix('') for file in left]
        chosen = set(_split(root, split, [name.as_posix() for name in names], val_fraction))
        self._pairs = [
            (name.as_posix(), file, _partner(place / 'right', name, file.suffix))
            for name, file in zip(names, left, strict=True)
            if name.as_posix() in chosen
        ]
        self._truth = place / 'disparity'
        self._scale = scale
        self._calibration = _calibration(root, calibration)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._pairs)

    def name(self, index: int) -> str:
        """Return what pair number index is called; IndexError beyond the last one."""
        return self._pairs[index][0]

    def __getitem__(self, index: int) -> StereoSample:
        """See StereoDataset."""
        name, left_file, right_file = self._pairs[index]
        left, right = read_rgb(left_file), read_rgb(right_file)
        check_same_size(name, left, right, 'pixels of the right image')
        disparity = None
        if self._truth.is_dir():
            disparity = read_disparity(_partner(self._truth, Path(name), *SUFFIXES), self._scale)
            disparity[disparity == 0] = np.nan
            check_same_size(name, left, disparity, 'disparities')
        return StereoSample(name, left, right, disparity, calibration=self._calibration)


def _chosen(root: Path, split: str, val_fraction: float, labels: str) -> list[Frame]:
    """The frames of a split; ValueError if one has no label image, or there are none."""
    place = root / split if (root / split / 'images').is_dir() else root
    images = {
        file.relative_to(place / 'images').with_suffix('').as_posix(): file
        for file in image_files(place / 'images', below=True)
    }
    if not images:
        wanted = f'images/NAME.jpg (or .png) and {labels}/NAME.png'
        raise ValueError(f'expected {wanted} in {place}; {contents(place)}')
    frames = []
    for name in _split(root, split, list(images), val_fraction):
        if name not in images:
            raise ValueError(
                f'{root / split}.txt names {name}, which {place}/images does not have'
            )
        frames.append(Frame(name, images[name], (_partner(place / labels, Path(name), '.png'),)))
    if not frames:
        raise ValueError(f'there is no image of the split {split} in {root}')
    return frames


def _split(root: Path, split: str, names: Sequence[str], val_fraction: float) -> list[str]:
    """Names of the split: of its folder, of its file, or every so many-th."""
    listed = root / f'{split}.txt'
    if listed.is_file():
        lines = (
            line.strip().replace('\\', '/') for line in listed.read_text('utf-8-sig').splitlines()
        )
        return [str(Path(line).with_suffix('').as_posix()) for line in lines if line]
    if (root / split).is_dir():
        return list(names)
    if not 0 <= val_fraction < 1:
        raise ValueError(f'val_fraction is {val_fraction}, expected 0 to less than 1')
    if split == 'test':
        raise ValueError(f'{root} has no test split: expected test/ or test.txt')
    count = round(val_fraction * len(names)) or int(val_fraction > 0 and len(names) > 1)
    held = set(np.linspace(0, len(names) - 1, count).round().astype(int).tolist())
    return [name for index, name in enumerate(names) if (index in held) == (split == 'val')]


def _partner(folder: Path, name: Path, *suffixes: str) -> Path:
    """The file of this name in another folder; ValueError if there is none."""
    for suffix in (*suffixes, '.png', '.jpg', '.jpeg'):
        path = folder / f'{name.as_posix()}{suffix}'
        if path.is_file():
            return path
    raise ValueError(f'{folder} has no {name.as_posix()}{suffixes[0]}; {contents(folder)}')


def _classes(
    root: Path, given: object
) -> tuple[tuple[str, ...] | None, dict[Colour, int] | None, dict[int, int] | None]:
    """Names by class id (None: not known), and class ids by colour or by value in the files."""
    where = 'classes'
    if given is None:
        path = next((root / name for name in CLASSES if (root / name).is_file()), None)
        if path is None:
            return None, None, None
        where, text = str(path), read_text(path)
        given = _json(path, text) if path.suffix == '.json' else text.split('\n')
        given = [one.strip() for one in given if one.strip()] if path.suffix == '.txt' else given
    if isinstance(given, Mapping):
        return _mapped(where, given)
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise ValueError(f'{where} is {given!r}, expected a list of names or values by name')
    if len(given) < 2:
        raise ValueError(f'{where} has {len(given)} names, expected the background and more')
    return tuple(given), None, None


def _mapped(
    where: str, given: Mapping[str, Any]
) -> tuple[tuple[str, ...], dict[Colour, int] | None, dict[int, int] | None]:
    """{name: value} or {name: [r, g, b]}, the background first; class ids by order."""
    values = list(given.values())
    if all(isinstance(value, list | tuple) and len(value) == 3 for value in values):
        colours = {tuple(value): number for number, value in enumerate(values)}
        return tuple(given), colours, None
    if not all(type(value) is int for value in values):
        raise ValueError(f'{where} is {dict(given)!r}, expected an id or [r, g, b] for each name')
    names = sorted(given, key=lambda name: given[name])
    return tuple(names), None, {given[name]: number for number, name in enumerate(names)}


def _json(path: Path, text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error


def _calibration(root: Path, given: str | None) -> StereoCalibration | None:
    path = root / (given or 'calibration.yaml')
    return read_calibration(path) if given or path.is_file() else None
