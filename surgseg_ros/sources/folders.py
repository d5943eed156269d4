"""Frames of two folders of images, or of two images."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surgseg_ros.frames.stereo_frame import GroundTruth, StereoFrame
from surgseg_ros.media.image_files import read_array, read_as_stored, read_rgb
from surgseg_ros.sources.base import (
    DEFAULT_RATE,
    Calibration,
    FrameSource,
    load_calibration,
    size_of,
    stamp_at,
)

# left, right, l and r as words of their own or beside a number, cam0, camera_1
_EYE = re.compile(r'[-_ ]*(left|right|(?<![a-z])[lr](?![a-z])|cam(era)?[-_]?\d(?!\d))')
IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.ppm', '.pgm')


class FolderSource(FrameSource):
    """Images of two folders (or two images), paired in natural order of their names.

    In folders the numbers in the names of a pair agree (names without numbers agree themselves),
    apart from what tells the eye; else one is missing, and ValueError names the first.
    disparity: folder or file of true disparities x_left - x_right in px, float TIFF or .npy; 0, as
    in SCARED, and what is not finite is unknown. rate: Hz.
    """

    OPTIONS = ('calibration', 'rate', 'disparity')
    counted = True

    def __init__(
        self,
        left: Path,
        right: Path,
        calibration: Calibration | None = None,
        rate: float = DEFAULT_RATE,
        disparity: str | Path | None = None,
    ) -> None:
        self.name = f'images {left}, {right}'
        self._left, self._right = _files(left, IMAGES), _files(right, IMAGES)
        truth = _files(Path(disparity), ('.tif', '.tiff', '.npy')) if disparity else []
        self._truth: list[Path | None] = [*truth] or [None] * len(self._left)
        if not len(self._left) == len(self._right) == len(self._truth):
            raise ValueError(
                f'{left} has {len(self._left)} images, {right} has {len(self._right)}'
                + (f', {disparity} has {len(truth)} disparities' if disparity else '')
            )
        for others in (self._right, truth):
            _check_names(self._left, others)
        self.count = len(self._left)
        self.rate = rate
        self.calibration = load_calibration(calibration, size_of(read_rgb(self._left[0])))

    def frames(self) -> Iterator[StereoFrame]:
        """See FrameSource."""
        for index, (left, right, truth) in enumerate(
            zip(self._left, self._right, self._truth, strict=True)
        ):
            image = read_rgb(left)
            yield StereoFrame(
                stamp=stamp_at(index, self.rate),
                left=image,
                right=image if right == left else read_rgb(right),
                calibration=self.calibration,
                truth=GroundTruth(disparity=_read_disparity(truth)) if truth else None,
            )

    def frame_name(self, index: int) -> str:
        """As the file of the left image."""
        return self._left[index].stem


def _files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The file itself, or the files of a folder that end so; frame2 comes before frame10."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f'{path} is not there')
    files = [
        file
        for file in path.iterdir()
        if file.suffix.lower() in suffixes and not file.name.startswith('.')  # macOS' ._NAME
    ]
    if not files:
        raise ValueError(f'{path} has no files ending in {", ".join(suffixes)}')
    return sorted(files, key=_natural)


def _check_names(left: list[Path], others: list[Path]) -> None:
    if len(left) == 1:
        return  # a pair that somebody chose, whatever it is called
    for one, other in zip(left, others, strict=False):
        if _frame_of(one) != _frame_of(other):
            raise ValueError(
                f'{one} would be paired with {other}: their names are of different '
                'frames, so one is missing'
            )


def _frame_of(path: Path) -> list[int] | str:
    """Which frame a name is of: 7 of left_007, 007R or frame_7_cam1, 'liver' of liver-l."""
    name = _EYE.sub('', path.stem.lower())
    return [int(number) for number in re.findall(r'\d+', name)] or name


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r'(\d+)', path.name)
    return [(int(part), '') if part.isdigit() else (0, part) for part in parts]


def _read_disparity(path: Path) -> np.ndarray:
    """HxW float32 px, NaN unknown."""
    values = read_array(path) if path.suffix == '.npy' else read_as_stored(path)
    if values.ndim != 2 or values.dtype.kind != 'f':
        raise ValueError(f'{path} is not a disparity: expected one channel of floats')
    known = np.isfinite(values) & (values != 0)
    return np.where(known, values, np.nan).astype(np.float32)
