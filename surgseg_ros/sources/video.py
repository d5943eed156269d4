"""Frames of a video that shows both eyes."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros.frames.stereo_frame import StereoFrame
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

    stacking: which, or 'mono' (one eye, which frames then have twice); without it, it is told
    from the shape where that leaves no doubt. rate: Hz, default the video's.
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
        video = open_video(path)
        width, height = _size(video)
        self.count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) or None
        self.rate = rate or float(video.get(cv2.CAP_PROP_FPS)) or DEFAULT_RATE
        video.release()
        stacking = stacking or told_stacking(width, height)
        if stacking not in _EYES:
            raise ValueError(
                f'{path} is {width}x{height} and its stacking {stacking!r}: '
                "say 'horizontal' (side by side) or 'vertical' (left above right)"
            )
        self._stacking = stacking
        columns, rows = _EYES[self._stacking]
        self.calibration = load_calibration(calibration, (width // columns, height // rows))

    def __iter__(self) -> Iterator[StereoFrame]:
        video = open_video(self.path)
        try:
            index = 0
            while True:
                good, image = video.read()
                if not good:
                    return
                rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                left, right = _eyes(rgb, self._stacking)
                yield StereoFrame(stamp_at(index, self.rate), left, right, self.calibration)
                index += 1
        finally:
            video.release()


_EYES = {'horizontal': (2, 1), 'vertical': (1, 2), 'mono': (1, 1)}  # columns, rows


def open_video(path: Path) -> cv2.VideoCapture:
    """Open a video to read; FileNotFoundError or ValueError if OpenCV cannot."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no video {path}')
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise ValueError(f'{path} is not a video that OpenCV can read')
    return video


def told_stacking(width: int, height: int) -> str | None:
    """Stacking that the shape of a video's pictures leaves no doubt about, else None."""
    if width >= 2 * height:
        return 'horizontal'
    return 'vertical' if height > width else None


def video_size(path: Path) -> tuple[int, int]:
    """(width, height) of a video's pictures, px; errors as open_video."""
    video = open_video(path)
    try:
        return _size(video)
    finally:
        video.release()


def _size(video: cv2.VideoCapture) -> tuple[int, int]:
    return (int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)))


def _eyes(image: np.ndarray, stacking: str) -> tuple[np.ndarray, np.ndarray]:
    """Left and right in one image HxWxC; the image twice if it is one eye."""
    if stacking == 'mono':
        return image, image
    axis = 1 if stacking == 'horizontal' else 0
    half = image.shape[axis] // 2
    left, right = np.split(image, [half, 2 * half], axis)[:2]
    return np.ascontiguousarray(left), np.ascontiguousarray(right)
