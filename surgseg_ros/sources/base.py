"""What every source of stereo frames is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.calibration_checks import calibration_warnings
from surgseg_ros.geometry.calibration_files import read_calibration

FIRST_STAMP = 1_000_000_000  # ns, where a source has no clock: ROS takes a stamp of 0 for unset
DEFAULT_RATE = 10.0  # Hz, where a source has no rate

Calibration = StereoCalibration | str | Path


class FrameSource(ABC):
    """Stereo frames in order; may be iterated again, then it starts again.

    name: what it is. count: number of frames, None if endless. rate: Hz, None if unknown.
    calibration: that of the frames, None if unknown. OPTIONS: what open_source may pass on.
    """

    OPTIONS: tuple[str, ...] = ()
    name: str
    count: int | None
    rate: float | None
    calibration: StereoCalibration | None

    @abstractmethod
    def __iter__(self) -> Iterator[StereoFrame]:
        """Yield the frames."""

    def first(self, count: int | None) -> Iterator[StereoFrame]:
        """Yield at most `count` frames; all if None. Raises ValueError if that never ends."""
        if count is None and self.count is None:
            raise ValueError(f'{self.name} is endless: say how many frames')
        return islice(self, count)

    def frame_name(self, index: int) -> str:
        """What files made from frame number `index` are called, without a suffix."""
        return f'{index:06d}'

    def describe(self) -> str:
        """Say in one line what the frames are, and what is doubtful about their calibration."""
        count = 'endless' if self.count is None else f'{self.count} frames'
        rate = 'rate unknown' if self.rate is None else f'{self.rate:g} Hz'
        state = 'calibrated' if self.calibration else 'not calibrated'
        doubts = calibration_warnings(self.calibration) if self.calibration else []
        return f'{self.name}: {count}, {rate}, ' + '; '.join([state, *doubts])

    def close(self) -> None:
        """Release what is open; by default nothing is."""
        return

    def __enter__(self) -> 'FrameSource':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load_calibration(
    given: Calibration | None, size: tuple[int, int] | None
) -> StereoCalibration | None:
    """What open_source was given, read if need be; size: (width, height) of an image, px."""
    if given is None or isinstance(given, StereoCalibration):
        return given
    left, _, right = str(given).partition(',')
    return read_calibration(left.strip(), right.strip() or None, size)


def size_of(image: np.ndarray) -> tuple[int, int]:
    """(width, height), px."""
    return image.shape[1], image.shape[0]


def stamp_at(index: int, rate: float | None) -> int:
    """Stamp of frame number `index`, ns."""
    return FIRST_STAMP + round(index * 1e9 / (rate or DEFAULT_RATE))
