"""Read videos picture by picture, as FFmpeg decodes them (PyAV), with their true times.

OpenCV hands out uninitialised memory for interlaced video, ignores rotation and variable frame
rates, and ends without a word where a file is damaged.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from surgseg_ros.frames.foreign import MAX_PIXELS, check_pixels

SUFFIXES = (
    *('.mp4', '.avi', '.mkv', '.mov', '.m4v', '.mpg', '.mpeg', '.webm', '.wmv'),
    *('.ts', '.m2ts', '.mts', '.vob', '.dv', '.mxf', '.ogv', '.3gp', '.asf'),
)
_NANOSECONDS = 1_000_000_000
_MAX_RATE = 1000.0  # Hz; what says that it is faster has a broken header
# Files that hold pictures; not lists of other files or addresses, such as HLS.
_FORMATS = 'mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegvideo,mpegts,asf,dv,mxf,ogg'
_OPTIONS = {'format_whitelist': _FORMATS, 'protocol_whitelist': 'file'}

av.logging.set_level(None)  # what FFmpeg prints is said here, once and in sentences


class Picture(NamedTuple):
    """rgb: HxWx3 uint8, turned and deinterlaced. time: ns since the first; None not known."""

    time: int | None
    rgb: np.ndarray


class VideoReader:
    """A video file; iterate over its Pictures as often as needed, with constant memory.

    width, height: of the pictures, px. announced: number of frames as the header has it (which
    need not be true), None if it has none. rate: mean frame rate, Hz, None if unknown.
    note: called with one sentence for each peculiarity: interlaced frames, damage, an early end.
    Raises FileNotFoundError or ValueError, in one sentence, where this is no video.
    """

    def __init__(self, path: Path, note: Callable[[str], object] = lambda sentence: None) -> None:
        self.path, self._note = path, note
        with self._open() as container:
            stream = _stream(path, container)
            self.announced = stream.frames if 0 < stream.frames < 1 << 40 else None
            self._exact = container.format.name != 'avi'  # that counts empty moments, too
            rate = float(stream.average_rate or stream.guessed_rate or 0)
            self.rate = rate if 0 < rate <= _MAX_RATE else None
            first = next(_frames(container, stream, lambda: None), None)
        if first is None:
            raise ValueError(f'{path} holds no picture that can be decoded')
        self.height, self.width = _turned(first, np.empty((first.height, first.width))).shape

    def __iter__(self) -> Iterator[Picture]:
        damaged = count = last = step = 0

        def count_damaged() -> None:
            nonlocal damaged
            damaged += 1

        with self._open() as container:
            stream = _stream(self.path, container)
            frames = _frames(container, stream, count_damaged)
            start: float | None = None
            for frame in self._deinterlaced(frames):
                if start is None:
                    start = frame.time
                known = start is not None and frame.time is not None
                time = round((frame.time - start) * _NANOSECONDS) if known else None
                if time is not None:
                    last, step = time, max(step, time - last)
                yield Picture(time, self._rgb(frame, count))
                count += 1
            duration = _duration(container, stream)
        self._say_what_is_missing(count, damaged, _early_end(last, step, duration))

    def _say_what_is_missing(self, count: int, damaged: int, early: str) -> None:
        if self.announced is not None and count < self.announced and (early or self._exact):
            early = f'{count} of {self.announced} frames'
        if early:
            self._note(f'{self.path} ended after {early}: the file is cut off or damaged')
        elif damaged:
            self._note(f'{self.path} is damaged: {damaged} packets could not be decoded')

    def _open(self) -> InputContainer:
        if not self.path.is_file():
            raise FileNotFoundError(f'there is no video {self.path}')
        try:
            return av.open(f'file:{self.path}', container_options=_OPTIONS)
        except (av.error.FFmpegError, ValueError) as error:
            raise ValueError(f'{self.path} is not a video that can be read: {error}') from None

    def _deinterlaced(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Frames of one picture each, from the first that is made of two fields on filtered."""
        graph: av.filter.Graph | None = None
        for frame in frames:
            if graph is None and frame.interlaced_frame:
                graph = _deinterlacer(frame)
                self._note(f'{self.path} is interlaced: each frame is made of its first field')
            if graph is None:
                yield frame
            else:
                graph.vpush(frame)
                yield from _pulled(graph)
        if graph is not None:
            graph.vpush(None)
            yield from _pulled(graph)

    def _rgb(self, frame: VideoFrame, index: int) -> np.ndarray:
        rgb = _turned(frame, frame.to_ndarray(format='rgb24'))
        if rgb.shape[:2] != (self.height, self.width):
            raise ValueError(
                f'frame {index} of {self.path} is {rgb.shape[1]}x{rgb.shape[0]}, those before '
                f'are {self.width}x{self.height}'
            )
        return rgb


def _stream(path: Path, container: InputContainer) -> VideoStream:
    stream = container.streams.best('video')
    if stream is None:
        raise ValueError(f'{path} has no video in it')
    assert isinstance(stream, VideoStream)
    if stream.codec_context is None:  # PyAV then knows no size either
        raise ValueError(f'{path} has video that no decoder is known for')
    check_pixels(stream.width, stream.height, f'{path}')
    stream.thread_type = 'AUTO'
    stream.codec_context.options = {'max_pixels': str(MAX_PIXELS)}  # a frame may be larger
    return stream


def _duration(container: InputContainer, stream: VideoStream) -> float:
    """Of the pictures, s, as the header has it; 0 where it does not say."""
    if container.format.name == 'avi':  # the time base is that of its frames
        return float(stream.frames * (stream.time_base or 0))
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # else it may be that of the sound
    return container.duration / av.time_base if alone and container.duration else 0.0


def _early_end(last: int, step: int, duration: float) -> str:
    """How much of a video there is; empty where nothing is missing.

    last, step: time of the last picture and the longest time between two, ns. duration: s, as the
    header has it. The last picture may be shown for as long as any other, and times are rounded.
    """
    seconds, longest = last / _NANOSECONDS, step / _NANOSECONDS
    missing = duration - seconds > max(1.5 * longest, 0.05 * duration)
    return f'{seconds:.2f} of {duration:.2f} s' if missing else ''


def _frames(
    container: InputContainer, stream: VideoStream, damaged: Callable[[], None]
) -> Iterator[VideoFrame]:
    """Every frame that can be decoded; calls `damaged` for each packet that cannot."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except av.error.InvalidDataError:
            damaged()
        except av.error.FFmpegError:  # the file cannot be read on
            damaged()
            return


def _deinterlacer(frame: VideoFrame) -> av.filter.Graph:
    """bwdif: frames marked as interlaced are made progressive, others pass."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(
        source, graph.add('bwdif', 'mode=send_frame:deint=interlaced'), graph.add('buffersink')
    )
    graph.configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[VideoFrame]:
    with suppress(av.error.BlockingIOError, av.error.EOFError):
        while True:
            frame = graph.vpull()
            assert isinstance(frame, VideoFrame)
            yield frame


def _turned(frame: VideoFrame, pixels: np.ndarray) -> np.ndarray:
    """Pixels HxW... turned as the file says that they are to be shown."""
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
