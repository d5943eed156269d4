"""The base of every node that looks at one image: that of the left eye."""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from std_msgs.msg import Header

from surgseg_ros.frames.calibration import CameraModel
from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.geometry.calibration_checks import camera_errors
from surgseg_ros.geometry.rectification import EyeRectifier
from surgseg_ros.nodes.camera_infos import CameraInfos
from surgseg_ros.nodes.perception_node import Frame, PerceptionNode
from surgseg_ros.rosdata.messages import stamp_of


@dataclass
class ImageInput(Frame):
    """A decoded (and, if asked for, rectified) left image: HxWx3 uint8 RGB."""

    image: np.ndarray


class ImageNode(PerceptionNode):
    """Takes left images; process() gets an ImageInput.

    A class per pixel needs no geometry, so camera_info is asked for only with `rectify`; the
    left one is enough, for its R and P were made for the pair: the image is that of stereo_node.
    """

    SIDES: ClassVar[tuple[str, ...]] = ('left',)

    def left_frame(self, frame: ImageInput) -> LeftFrame:
        """What a step takes."""
        return LeftFrame(stamp_of(frame), frame.image, jumps=self.pairer.jumps)

    def cameras(self) -> CameraInfos[EyeRectifier] | None:
        """The left camera_info, to rectify."""
        return CameraInfos(self.info_topics(), _rectifier) if self.p.rectify else None

    def prepare(
        self, header: Header, images: list[np.ndarray], milliseconds: dict[str, float]
    ) -> ImageInput:
        """Rectify."""
        [image] = images
        if self._cameras:
            start = time.perf_counter()
            image = self._cameras.current().rectify(image)
            milliseconds['rectify'] = 1000 * (time.perf_counter() - start)
        return ImageInput(header, milliseconds, image)


def _rectifier(left: CameraModel) -> EyeRectifier:
    if errors := camera_errors('left', left):
        raise ValueError(f'camera_info: {errors[0]}')
    return EyeRectifier('left', left)
