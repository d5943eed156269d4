"""Frames of a video that shows both eyes, or one."""

from collections.abc import Iterator
from pathlib import Path

from surgseg_ros.frames.stacking import STACKINGS, split_eyes, told_stacking
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.media.video_reader import SUFFIXES, VideoReader
from surgseg_ros.sources.base import (
    DEFAULT_RATE,
    FIRST_STAMP,
    Calibration,
    FrameSource,
    load_calibration,
    stamp_at,
)

__all__ = ['SUFFIXES', 'VideoSource']


class VideoSource(FrameSource):
    """Both eyes in one video: side by side ('horizontal') or left above right ('vertical').

    stacking: which, or 'mono' (one view, which frames then have twice); without it, it is told
    from the shape where that leaves no doubt. left_only: a video that is higher than wide then is
    of one eye, and so is one of doubtful shape. rate: Hz, of equal steps; default the video's own
    times.
    """

    OPTIONS = ('calibration', 'stacking', 'rate')

    def __init__(
        self,
        path: Path,
        calibration: Calibration | None = None,
        stacking: str | None = None,
        rate: float | None = None,
        left_only: bool = False,
    ) -> None:
        self.path = path
        self._video = VideoReader(path, self.note)
        self._given_rate = rate
        self.count = self._video.announced
        self.rate: float = rate or self._video.rate or DEFAULT_RATE
        width, height = self._video.width, self._video.height
        self._stacking = stacking or told_stacking(width, height, left_only) or ''
        if self._stacking not in STACKINGS:
            raise ValueError(
                f'{path} is {width}x{height}, which may hold one view or two: give the layout by '
                "stacking 'horizontal' (side by side), 'vertical' (left above right) or 'mono'"
            )
        columns, rows, words = STACKINGS[self._stacking]
        told = '' if stacking else ', told from its shape'
        self.name = f'video {path} ({words}{told})'
        self.calibration = load_calibration(calibration, (width // columns, height // rows))

    def frames(self) -> Iterator[StereoFrame]:
        """See FrameSource; stamps are the video's own times, each later than the last."""
        last = -1
        for index, (time, rgb) in enumerate(self._video):
            stamp = self._stamp(index, time)
            if stamp <= last:  # a container without time stamps, such as AVI
                stamp = last + round(1e9 / self.rate)
            last = stamp
            left, right = split_eyes(rgb, self._stacking)
            yield StereoFrame(stamp, left, right, self.calibration)

    def _stamp(self, index: int, time: int | None) -> int:
        if self._given_rate or time is None:
            return stamp_at(index, self.rate)
        return FIRST_STAMP + time
