"""Frames of a video that shows both eyes."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros.geometry.stereo_frame import StereoFrame
from surgseg_ros.sources.base import (
    DEFAULT_RATE,
    Calibration,
    FrameSource,
    load_calibration,
    stamp_at,
)

SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.m4v', '.mpg', '.mpeg', '.webm', '.wmv', '.ts')


class VideoSource(FrameSource):
    """Both eyes in one video: side by side ('horizontal') or left above right ('vertical').

    stacking: which; without it, it is told from the shape where that leaves no doubt. rate: Hz,
    default the video's.
    """

    OPTIONS = ('calibration', 'stacking', 'rate')

    def __init__(
        self,
        path: Path,
        calibration: Calibration | None = None,
        stacking: str | None = None,
        rate: float | None = None,
    ) -> None:
        self.path, self.name = path, f'video {path}'
        video = self._open()
        width, height = (
            int(video.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        self.count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) or None
        self.rate = rate or float(video.get(cv2.CAP_PROP_FPS)) or DEFAULT_RATE
        video.release()
        self._axis = 1 if self._stacking(stacking, width, height) == 'horizontal' else 0
        size = (width // 2, height) if self._axis else (width, height // 2)
        self.calibration = load_calibration(calibration, size)

    def __iter__(self) -> Iterator[StereoFrame]:
        video = self._open()
        try:
            index = 0
            while True:
                good, image = video.read()
                if not good:
                    return
                rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                left, right = _halves(rgb, self._axis)
                yield StereoFrame(stamp_at(index, self.rate), left, right, self.calibration)
                index += 1
        finally:
            video.release()

    def _open(self) -> cv2.VideoCapture:
        if not self.path.is_file():
            raise FileNotFoundError(f'there is no video {self.path}')
        video = cv2.VideoCapture(str(self.path))
        if not video.isOpened():
            raise ValueError(f'{self.path} is not a video that OpenCV can read')
        return video

    def _stacking(self, stacking: str | None, width: int, height: int) -> str:
        if stacking is None and width >= 2 * height:
            return 'horizontal'
        if stacking is None and height > width:
            return 'vertical'
        if stacking not in ('horizontal', 'vertical'):
            raise ValueError(
                f'{self.path} is {width}x{height} and its stacking {stacking!r}: '
                "say 'horizontal' (side by side) or 'vertical' (left above right)"
            )
        return stacking


def _halves(image: np.ndarray, axis: int) -> list[np.ndarray]:
    half = image.shape[axis] // 2
    return [np.ascontiguousarray(part) for part in np.split(image, [half, 2 * half], axis)[:2]]
