"""Frames of a bag."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from surgseg_ros.bags.stereo_bag import StereoBag
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.sources.base import Calibration, FrameSource, load_calibration, size_of


class BagSource(FrameSource):
    """Stereo frames of a bag; see bags.stereo_bag.StereoBag for the options."""

    OPTIONS = ('calibration', 'left', 'tolerance')

    def __init__(self, path: Path, calibration: Calibration | None = None, **options: Any) -> None:
        self._bag = StereoBag(path, **options)
        self.name = f'bag {path} ({self._bag.topics.left})'
        self.count = self._bag.count
        self.rate = self._bag.rate
        self._replaced = calibration is not None
        self.calibration = self._bag.calibration
        if calibration is not None:
            first = next(iter(self._bag), None)
            given = load_calibration(calibration, size_of(first.left) if first else None)
            self.calibration = given and self._bag.as_recorded(given)

    def __iter__(self) -> Iterator[StereoFrame]:
        for frame in self._bag:
            yield replace(frame, calibration=self.calibration) if self._replaced else frame

    def close(self) -> None:
        """Close the bag."""
        self._bag.close()
