"""Write videos picture by picture."""

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from surgseg_ros.media.files import partial_path

SUFFIXES = ('.mp4', '.avi', '.mkv')


class VideoFile:
    """An MPEG-4 video that appears when it is whole; on Ctrl-C with the pictures so far.

    path: ends in one of SUFFIXES, else ValueError. rate: pictures per second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f'{path} is no video, expected a name ending in {" ".join(SUFFIXES)}')
        self._path, self._rate = path, rate
        self._partial = partial_path(path)
        self._writer: cv2.VideoWriter | None = None
        self._shape: tuple[int, ...] = ()

    def write(self, picture: np.ndarray) -> None:
        """Append an HxWx3 uint8 RGB picture; ValueError if its size is not that of the first."""
        if self._writer is None:
            self._writer = self._open(picture)
        if picture.shape != self._shape:
            raise ValueError(
                f'the pictures of {self._path} are {self._shape[1]}x{self._shape[0]}, the next '
                f'is {picture.shape[1]}x{picture.shape[0]}'
            )
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def __enter__(self) -> 'VideoFile':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.release()
            if kind is None or not issubclass(kind, Exception):
                self._partial.replace(self._path)
        self._partial.unlink(missing_ok=True)

    def _open(self, picture: np.ndarray) -> cv2.VideoWriter:
        self._shape = picture.shape
        size = picture.shape[1], picture.shape[0]
        writer = cv2.VideoWriter(
            str(self._partial), cv2.VideoWriter.fourcc(*'mp4v'), self._rate, size
        )
        if not writer.isOpened():
            raise OSError(f'OpenCV cannot write {self._path}')
        return writer
