"""The newest camera_info of each side, and the rectification that follows from it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from sensor_msgs.msg import CameraInfo

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.geometry.calibration_checks import (
    calibration_errors,
    calibration_warnings,
    camera_errors,
)
from surgseg_ros.geometry.rectification import EyeRectifier, rectified_calibration
from surgseg_ros.rosdata.messages import camera_model_from_info


@dataclass(frozen=True)
class CameraSet:
    """The cameras of a node, by side; P of each describes the images as they are processed.

    calibration: of these images, if the node has both sides. rectifiers: of the images that
    arrive raw.
    """

    models: Mapping[str, CameraModel] = field(default_factory=dict)
    calibration: StereoCalibration | None = None
    rectifiers: Mapping[str, EyeRectifier] = field(default_factory=dict)


class Cameras:
    """Keeps one camera_info per side; `current` derives a CameraSet, again only after a change.

    topics: by side, of those that are needed. rectify: images arrive raw. warn: called with
    what is doubtful. take() and current() may be called from different threads.
    """

    def __init__(
        self, topics: Mapping[str, str], rectify: bool, warn: Callable[[str], object]
    ) -> None:
        self.topics = topics
        self._rectify, self._warn = rectify, warn
        self._told: set[str] = set()
        self._infos: Mapping[str, CameraInfo] = {}
        self._made_from: Mapping[str, CameraInfo] = self._infos
        self._made = CameraSet()

    def take(self, info: CameraInfo, side: str) -> None:
        """Store the camera_info of a side."""
        old = self._infos.get(side)
        if old is None or not _same_camera(old, info):
            self._infos = {**self._infos, side: info}  # a new dict: current() may hold the old

    def knows(self, side: str) -> bool:
        """Whether there is a camera_info of this side yet."""
        return side in self._infos

    def current(self) -> CameraSet:
        """Return the cameras as they are now.

        Raises ValueError that names the topics that are silent, or says what is wrong.
        """
        infos = self._infos
        missing = [topic for side, topic in self.topics.items() if side not in infos]
        if missing:
            raise ValueError(f'no camera_info yet on {" and ".join(missing)}')
        if infos is not self._made_from:
            self._made = self._make({side: camera_model_from_info(infos[side]) for side in infos})
            self._made_from = infos
        return self._made

    def _make(self, models: Mapping[str, CameraModel]) -> CameraSet:
        given = StereoCalibration(**models) if len(models) == 2 else None
        self._check(models, given)
        if not self._rectify:
            return CameraSet(models, given)
        rectifiers = {side: EyeRectifier(side, model) for side, model in models.items()}
        if given is None:
            return CameraSet(models, None, rectifiers)
        calibration = rectified_calibration(given)
        models = {'left': calibration.left, 'right': calibration.right}
        return CameraSet(models, calibration, rectifiers)

    def _check(
        self, models: Mapping[str, CameraModel], calibration: StereoCalibration | None
    ) -> None:
        if calibration:
            errors = calibration_errors(calibration)
        else:
            errors = [error for one in models.items() for error in camera_errors(*one)]
        if errors:
            raise ValueError(f'camera_info: {errors[0]}')
        for warning in calibration_warnings(calibration) if calibration else []:
            self._tell(warning)

    def _tell(self, warning: str) -> None:
        """Warn once of each kind of doubt, even if its numbers change from message to message."""
        kind = re.sub(r'[-+.\de]+', '', warning)
        if kind not in self._told:
            self._told.add(kind)
            self._warn(f'camera_info: {warning}')


def _same_camera(one: CameraInfo, other: CameraInfo) -> bool:
    return (one.width, one.height, one.distortion_model) == (
        other.width,
        other.height,
        other.distortion_model,
    ) and all(
        np.array_equal(*pair)
        for pair in ((one.d, other.d), (one.k, other.k), (one.r, other.r), (one.p, other.p))
    )
