"""What every source of stereo frames is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.foreign import printable, warn
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.calibration_checks import calibration_errors, calibration_warnings
from surgseg_ros.geometry.calibration_files import read_calibration

FIRST_STAMP = 1_000_000_000  # ns, where a source has no clock: ROS takes a stamp of 0 for unset
DEFAULT_RATE = 10.0  # Hz, where a source has no rate


Calibration = StereoCalibration | str | Path


class FrameSource(ABC):
    """Stereo frames in order; may be iterated again, then it starts again.

    name: what it is. count: number of frames, None if unknown; as a file's header has it, which
    need not be true, unless `counted`. endless: it never ends by itself. rate: Hz, None if
    unknown. calibration: that of the first frames, None if unknown. notes: one sentence for each
    thing that was peculiar so far. OPTIONS: what open_source may pass on.
    """

    OPTIONS: tuple[str, ...] = ()
    name: str
    count: int | None
    counted = False
    endless = False
    rate: float | None
    calibration: StereoCalibration | None

    def __iter__(self) -> Iterator[StereoFrame]:
        """Yield the frames; ValueError where images and calibration do not belong together."""
        judged = self.calibration
        for index, frame in enumerate(self.frames()):
            what = f'frame {index} of {self.name}'
            check_sizes(what, frame)
            if frame.calibration is not judged:
                judged = frame.calibration
                if errors := calibration_errors(judged) if judged else []:
                    raise ValueError(f'calibration of {what}: {errors[0]}')
            yield frame

    @abstractmethod
    def frames(self) -> Iterator[StereoFrame]:
        """Yield the frames as they are."""

    @property
    def notes(self) -> list[str]:
        """The sentences that note() was given."""
        notes: list[str] = self.__dict__.setdefault('_notes', [])
        return notes

    def note(self, sentence: str) -> None:
        """Print a peculiarity of the source to standard error, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            warn(sentence)

    def first(self, count: int | None) -> Iterator[StereoFrame]:
        """Yield at most `count` frames; all if None. Raises ValueError if that never ends."""
        if count is None and self.endless:
            raise ValueError(f'{self.name} is endless: say how many frames')
        return islice(self, count)

    def frame_name(self, index: int) -> str:
        """What files made from frame number `index` are called, without a suffix."""
        return f'{index:06d}'

    def describe(self) -> str:
        """Describe the frames, and doubts about their calibration, in one line."""
        known = 'number of frames unknown' if self.count is None else f'{self.count} frames'
        count = 'endless' if self.endless else known
        rate = 'rate unknown' if self.rate is None else f'{self.rate:g} Hz'
        state = 'calibrated' if self.calibration else 'not calibrated'
        doubts = calibration_warnings(self.calibration) if self.calibration else []
        return printable(f'{self.name}: {count}, {rate}, ' + '; '.join([state, *doubts]))

    def close(self) -> None:
        """Close open files; does nothing by default."""
        return

    def __enter__(self) -> 'FrameSource':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_sizes(what: str, frame: StereoFrame) -> None:
    """Raise ValueError unless both images, and their cameras, have one size."""
    left, right = size_of(frame.left), size_of(frame.right)
    if left != right:
        raise ValueError(f'{what}: left is {left[0]}x{left[1]}, right is {right[0]}x{right[1]}')
    if frame.calibration is None:
        return
    for side in ('left', 'right'):
        camera = getattr(frame.calibration, side)
        if left != (camera.width, camera.height):
            raise ValueError(
                f'{what} has images of size {left[0]}x{left[1]}, their calibration is for the '
                f'size {camera.width}x{camera.height}'
            )


def load_calibration(
    given: Calibration | None, size: tuple[int, int] | None
) -> StereoCalibration | None:
    """What open_source was given, read if need be; size: (width, height) of an image, px."""
    if given is None or isinstance(given, StereoCalibration):
        return given
    left, right = str(given), ''
    if not Path(left).exists():  # a name may have a comma
        left, _, right = left.partition(',')
    return read_calibration(left.strip(), right.strip() or None, size)


def size_of(image: np.ndarray) -> tuple[int, int]:
    """(width, height), px."""
    return image.shape[1], image.shape[0]


def stamp_at(index: int, rate: float | None) -> int:
    """Stamp of frame number `index`, ns."""
    return FIRST_STAMP + round(index * 1e9 / (rate or DEFAULT_RATE))
