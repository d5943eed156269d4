"""What `surgseg infer stereo` makes of results: files, a video, a view around the cloud."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from surgseg_ros.commands.destinations import Destinations, write_image
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.geometry.ply import write_ply
from surgseg_ros.geometry.points import disparity_to_cloud
from surgseg_ros.media import pictures
from surgseg_ros.media.files import Writers, whole_file
from surgseg_ros.media.orbit import Orbit
from surgseg_ros.media.progress import progress
from surgseg_ros.media.video import VideoFile

ORBIT_RATE = 25.0  # pictures per second, unless the source's frames come one per picture
_TURN = 200  # pictures, 8 s


@dataclass(frozen=True)
class Inferred:
    """left: HxWx3 uint8 RGB, rectified. result: its disparity is without cx_left - cx_right.

    calibration: of the rectified images, None if unknown.
    """

    index: int
    left: np.ndarray
    result: StereoResult
    calibration: StereoCalibration | None = None


class StereoOutput(Protocol):
    """Takes results one after the other."""

    def wants(self, index: int) -> bool:
        """Whether frame number `index` is needed."""
        ...

    def take(self, frame: Inferred) -> None:
        """Make something of it."""
        ...


class Files:
    """Disparities, masks (0 tissue, 255 tool) and clouds, a file each.

    scale: of 16-bit disparities. Frames without a calibration have no cloud.
    """

    def __init__(self, destinations: Destinations, writers: Writers, scale: float) -> None:
        self._destinations, self._writers = destinations, writers
        self._scale = scale

    def wants(self, index: int) -> bool:
        """Every frame."""
        return True

    def take(self, frame: Inferred) -> None:
        """Let the threads write it."""
        for kind, path in self._destinations.paths(frame.index).items():
            self._writers.submit(getattr(self, f'_write_{kind}'), path, frame)

    def _write_disparity(self, path: Path, frame: Inferred) -> None:
        disparity = frame.result.disparity
        fixed = path.suffix.lower() == '.png'
        write_image(path, fixed_point(disparity, self._scale) if fixed else disparity)

    def _write_segmentation(self, path: Path, frame: Inferred) -> None:
        assert frame.result.tool_mask is not None
        write_image(path, np.where(frame.result.tool_mask > 0, np.uint8(255), np.uint8(0)))

    def _write_cloud(self, path: Path, frame: Inferred) -> None:
        if frame.calibration is None:
            return
        cloud = disparity_to_cloud(frame.result.disparity, frame.calibration, frame.left)
        with whole_file(path) as partial:
            write_ply(partial, cloud)


class SideBySide:
    """A video of the left image beside its disparity in colours, tools in cyan.

    The colours span what the first frame has, so that they compare over time. Without any
    disparity the tools are shown in the image.
    """

    def __init__(self, video: VideoFile) -> None:
        self._video = video
        self._span: tuple[float, float] | None = None

    def wants(self, index: int) -> bool:
        """Every frame."""
        return True

    def take(self, frame: Inferred) -> None:
        """Append a picture."""
        self._video.write(np.hstack([frame.left, self._picture(frame)]))

    def _picture(self, frame: Inferred) -> np.ndarray:
        disparity, mask = frame.result.disparity, frame.result.tool_mask
        known = disparity[np.isfinite(disparity)]
        if self._span is None and known.size:
            low, high = np.percentile(known, (1, 99))
            self._span = float(low), float(high)
        if self._span is None:
            return pictures.tint(frame.left, mask)
        picture = pictures.colour_by_disparity(disparity, self._span, mask)
        low, high = self._span
        return pictures.caption(picture, f'disparity, {low:.0f} px dark to {high:.0f} px bright')


class OrbitVideo:
    """A video of the cloud from a camera that circles the endoscope, once in 8 s.

    only: the frame to show, for one turn; None follows the sequence, one picture per frame, or
    more where the frames would not last for a turn.
    """

    def __init__(
        self, video: VideoFile, orbit: Orbit, only: int | None, count: int | None
    ) -> None:
        self._video, self._orbit, self._only = video, orbit, only
        self._views = views_per_frame(only, count)
        self._angles = angles()

    def wants(self, index: int) -> bool:
        """The one, or every frame."""
        return self._only is None or index == self._only

    def take(self, frame: Inferred) -> None:
        """Append the pictures of this frame."""
        steps = [next(self._angles) for _ in range(self._views)]
        views = self._orbit.views(frame.left, frame.result, steps)
        for view in progress(views, len(steps), 'views') if self._only is not None else views:
            self._video.write(view)


def views_per_frame(only: int | None, count: int | None) -> int:
    """Pictures of an orbit for each frame: a turn for a single one."""
    frames = 1 if only is not None else count or _TURN
    return max(1, math.ceil(_TURN / frames))


def angles() -> Iterator[float]:
    """Angles of an endless orbit, rad."""
    step = 0
    while True:
        yield 2 * math.pi * step / _TURN
        step += 1


def fixed_point(disparity: np.ndarray, scale: float) -> np.ndarray:
    """HxW float32 px -> uint16, rounded disparity * scale; 0 where unknown or not positive.

    Raises ValueError with the largest scale that fits if a value does not.
    """
    known = disparity > 0
    highest = float(disparity[known].max(initial=0))
    if round(highest * scale) > 65535:
        most = math.floor(10 * 65535 / highest) / 10
        raise ValueError(
            f'a disparity of {highest:.1f} px times {scale:g} does not fit into 16 bits: '
            f'--disparity-scale may be {most:g} at most'
        )
    values = np.rint(np.where(known, disparity, 0) * np.float32(scale))
    return np.where(known, np.maximum(values, 1), 0).astype(np.uint16)
