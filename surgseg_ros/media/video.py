"""Write videos picture by picture, as browsers play them (PyAV)."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from surgseg_ros.frames.foreign import warn
from surgseg_ros.media.files import partial_path

SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm')

# encoder and its options: quality first, then what keeps it as fast as the pictures come
_H264 = 'libx264', {'crf': '20', 'preset': 'veryfast', 'bf': '0'}  # AVI cannot reorder frames
_VP9 = 'libvpx-vp9', {'crf': '30', 'b': '0', 'deadline': 'realtime', 'cpu-used': '8'}


class VideoFile:
    """A video, H.264 or (.webm) VP9, that appears when it is whole.

    On Ctrl-C the pictures so far stay beside it, named NAME.partial.SUFFIX. path: ends in one of
    SUFFIXES, else ValueError. rate: pictures per second. Raises OSError that names the path where
    it cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f'{path} is no video, expected a name ending in {" ".join(SUFFIXES)}')
        self._path, self._rate = path, rate
        self._partial = partial_path(path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream
        self._shape: tuple[int, ...] = ()

    def write(self, picture: np.ndarray) -> None:
        """Append an HxWx3 uint8 RGB picture; ValueError if its size is not that of the first."""
        if picture.shape != (self._shape or picture.shape):
            raise ValueError(
                f'the pictures of {self._path} are {self._shape[1]}x{self._shape[0]}, the next '
                f'is {picture.shape[1]}x{picture.shape[0]}'
            )
        try:
            if self._container is None:
                self._container = self._open(picture)
            frame = av.VideoFrame.from_ndarray(_even(picture), format='rgb24')
            self._container.mux(self._stream.encode(frame))
        except av.error.FFmpegError as error:
            raise self._failure(error) from None

    def __enter__(self) -> 'VideoFile':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._container is not None:
                self._finish(kind)
        finally:
            self._partial.unlink(missing_ok=True)

    def _finish(self, kind: type[BaseException] | None) -> None:
        container, self._container = self._container, None
        assert container is not None
        failed = kind is not None and issubclass(kind, Exception)
        try:
            if not failed:
                container.mux(self._stream.encode(None))
            container.close()
        except av.error.FFmpegError as error:
            if not failed:
                raise self._failure(error) from None
        if kind is None:
            self._partial.replace(self._path)
        elif not failed:
            kept = self._path.with_name(f'{self._path.stem}.partial{self._path.suffix}')
            self._partial.replace(kept)
            warn(f'{self._path} was not finished: the pictures so far are {kept}')

    def _open(self, picture: np.ndarray) -> OutputContainer:
        encoder, options = _VP9 if self._path.suffix.lower() == '.webm' else _H264
        self._shape = picture.shape
        container = av.open(
            f'file:{self._partial}', 'w', container_options={'movflags': 'faststart'}
        )
        rate = Fraction(self._rate).limit_denominator(65535)
        stream = container.add_stream(encoder, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        height, width = _even(picture).shape[:2]
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = 'yuv420p'  # all that browsers know
        return container

    def _failure(self, error: av.error.FFmpegError) -> OSError:
        return OSError(f'{self._path} cannot be written: {error.strerror or error}')


def _even(picture: np.ndarray) -> np.ndarray:
    """The picture with its last row or column twice where their number is odd: 4:2:0 halves it."""
    height, width = picture.shape[:2]
    if height % 2 == width % 2 == 0:
        return np.ascontiguousarray(picture)
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), 'edge')
