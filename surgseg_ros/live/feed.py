"""Send frames to a running graph as a stereo camera does."""

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.live.probe import Probe
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.rosdata import messages

FRAME_ID = 'endoscope_left_optical'


class Feed:
    """Publishes images and camera_info through a probe, in its namespace."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def send_info(self, calibration: StereoCalibration) -> None:
        """Publish both camera_info."""
        header = messages.header(make_message, 0, FRAME_ID)
        for side in ('left', 'right'):
            info = messages.camera_info(make_message, header, getattr(calibration, side))
            self._probe.publish(f'{side}/camera_info', info)

    def send_image(
        self,
        stamp: int,
        pixels: np.ndarray,
        side: str = 'left',
        encoding: str = 'rgb8',
        frame_id: str = FRAME_ID,
        name: str = 'image_rect',
    ) -> None:
        """Publish one image; stamp in ns, pixels as the encoding has them."""
        header = messages.header(make_message, stamp, frame_id)
        image = messages.image(make_message, header, pixels, encoding)
        self._probe.publish(f'{side}/{name}', image)

    def send_pair(
        self,
        stamp: int,
        left: np.ndarray,
        right: np.ndarray,
        encoding: str = 'rgb8',
        frame_id: str = FRAME_ID,
        name: str = 'image_rect',
    ) -> None:
        """Publish both images of a frame."""
        for side, pixels in (('left', left), ('right', right)):
            self.send_image(stamp, pixels, side, encoding, frame_id, name)
