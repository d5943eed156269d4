"""Frames of a bag."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from surgseg_ros.bags.stereo_bag import StereoBag
from surgseg_ros.frames.stacking import STACKINGS
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.sources.base import Calibration, FrameSource, load_calibration, size_of


class BagSource(FrameSource):
    """Stereo frames of a bag; see bags.stereo_bag.StereoBag for the options."""

    OPTIONS = (
        *('calibration', 'left', 'right', 'left_info', 'right_info'),
        *('tolerance', 'stacking', 'rectified'),
    )

    def __init__(self, path: Path, calibration: Calibration | None = None, **options: Any) -> None:
        self.name = f'bag {path}'
        self._bag = StereoBag(path, note=self.note, **options)
        topics = self._bag.topics
        words = f', {STACKINGS[topics.stacking][2]}' if topics.stacking else ''
        self.name = f'bag {path} ({topics.left}{words})'
        self.count = self._bag.count
        self.rate = self._bag.rate
        self._replaced = calibration is not None
        self.calibration = self._bag.calibration
        if calibration is not None:
            first = next(iter(self._bag), None)
            given = load_calibration(calibration, size_of(first.left) if first else None)
            self.calibration = given and self._bag.as_recorded(given)

    def frames(self) -> Iterator[StereoFrame]:
        """See FrameSource."""
        last = self._bag.calibration
        for index, frame in enumerate(self._bag):
            if self._replaced:
                yield replace(frame, calibration=self.calibration)
                continue
            if frame.calibration is not last:
                self.note(f'{self.name}: {_change(frame)} from frame {index} on')
                last = frame.calibration
            yield frame

    def close(self) -> None:
        """Close the bag."""
        self._bag.close()


def _change(frame: StereoFrame) -> str:
    if frame.calibration is None:
        return 'camera_info is not calibrated (K is zero, or there is none)'
    return 'camera_info changes (each frame has its own)'
