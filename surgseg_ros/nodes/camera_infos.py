"""The newest camera_info of each eye, and what a node makes of them."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import numpy as np
from sensor_msgs.msg import CameraInfo

from surgseg_ros.frames.calibration import CameraModel
from surgseg_ros.rosdata.messages import camera_model_from_info

T = TypeVar('T')


class CameraInfos(Generic[T]):
    """Keeps one camera_info per side; `current` derives from them, again only after a change.

    topics: by side, for sentences. make: from the camera of each side, in the order of topics;
    may raise ValueError. take() and current() may be called from different threads.
    """

    def __init__(self, topics: Mapping[str, str], make: Callable[..., T]) -> None:
        self.topics = topics
        self._make = make
        self._infos: Mapping[str, CameraInfo] = {}
        self._made_from: Mapping[str, CameraInfo] | None = None
        self._made: T

    def take(self, info: CameraInfo, side: str) -> None:
        """Keep what an eye's camera says of itself."""
        old = self._infos.get(side)
        if old is None or not _same_camera(old, info):
            self._infos = {**self._infos, side: info}  # a new dict: current() may hold the old

    def current(self) -> T:
        """Return what `make` gives; ValueError names the topics that are silent."""
        infos = self._infos
        if infos is not self._made_from:
            self._made = self._make(*self._cameras(infos))
            self._made_from = infos
        return self._made

    def _cameras(self, infos: Mapping[str, CameraInfo]) -> list[CameraModel]:
        missing = [topic for side, topic in self.topics.items() if side not in infos]
        if missing:
            raise ValueError(f'no camera_info yet on {" and ".join(missing)}')
        return [camera_model_from_info(infos[side]) for side in self.topics]


def _same_camera(one: CameraInfo, other: CameraInfo) -> bool:
    return (one.width, one.height, one.distortion_model) == (
        other.width,
        other.height,
        other.distortion_model,
    ) and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in 'dkrp')
