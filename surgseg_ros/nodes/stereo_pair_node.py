"""The base of every node that looks at rectified stereo pairs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from std_msgs.msg import Header

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.geometry.calibration_checks import calibration_errors, calibration_warnings
from surgseg_ros.geometry.rectification import Rectifier
from surgseg_ros.nodes.camera_infos import CameraInfos
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.perception_node import Frame, PerceptionNode
from surgseg_ros.rosdata.messages import NANOSECONDS
from surgseg_ros.streams.pairing import StampPairer
from surgseg_ros.streams.row_check import RowCheck


@dataclass
class StereoInput(Frame):
    """A decoded (and, if asked for, rectified) pair: left, right HxWx3 uint8 RGB.

    calibration: that of these images.
    """

    left: np.ndarray
    right: np.ndarray
    calibration: StereoCalibration


@dataclass(frozen=True)
class _Cameras:
    calibration: StereoCalibration  # of the pair as it is processed
    rectifier: Rectifier | None


class StereoPairNode(PerceptionNode):
    """Takes pairs of left and right; process() gets a StereoInput."""

    SIDES: ClassVar[tuple[str, ...]] = ('left', 'right')
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *PerceptionNode.PARAMETERS,
        Parameter(
            'max_stamp_difference',
            -1.0,
            "largest difference of the eyes' stamps in s; 0 is exact, -1 is half a frame period",
            range=(-1.0, 1.0),
        ),
    )

    def reset(self) -> None:
        """Forget what has been seen."""
        super().reset()
        self._rows = RowCheck(lambda sentence: self.get_logger().warning(sentence))

    def make_pairer(self) -> StampPairer:
        """Pair the eyes as max_stamp_difference says."""
        difference = self.p.max_stamp_difference
        return StampPairer(self.SIDES, None if difference < 0 else round(difference * NANOSECONDS))

    def cameras(self) -> CameraInfos[_Cameras]:
        """Both camera_info give scale and rectification."""
        return CameraInfos(self.info_topics(), self._calibrate)

    def prepare(
        self, header: Header, images: list[np.ndarray], milliseconds: dict[str, float]
    ) -> StereoInput:
        """Check the sizes, rectify."""
        assert self._cameras is not None
        cameras = self._cameras.current()
        left, right = images
        _check_size('left', left, cameras.calibration.left)
        _check_size('right', right, cameras.calibration.right)
        if cameras.rectifier:
            start = time.perf_counter()
            left, right = cameras.rectifier.rectify(left, right)
            milliseconds['rectify'] = 1000 * (time.perf_counter() - start)
        self._rows.see(left, right, cameras.calibration)
        return StereoInput(header, milliseconds, left, right, cameras.calibration)

    def details(self) -> Mapping[str, Any]:
        """How far rows are apart."""
        return {'vertical residual [px]': self._rows.residual}

    def _calibrate(self, left: CameraModel, right: CameraModel) -> _Cameras:
        given = StereoCalibration(left, right)
        if errors := calibration_errors(given):
            raise ValueError(f'camera_info: {errors[0]}')
        for warning in calibration_warnings(given):
            self.get_logger().warning(f'camera_info: {warning}')
        if not self.p.rectify:
            return _Cameras(given, None)
        rectifier = Rectifier(given)
        return _Cameras(rectifier.calibration, rectifier)


def _check_size(side: str, image: np.ndarray, camera: CameraModel) -> None:
    """Raise ValueError unless an HxWx... image has the size that its camera_info says."""
    height, width = image.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise ValueError(
            f'the {side} image is {width}x{height}, its camera_info says '
            f'{camera.width}x{camera.height}'
        )
