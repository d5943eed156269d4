"""The cloud of a frame seen by a camera that circles the endoscope, as in MSDESIS's pictures."""

import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.geometry.points import disparity_to_cloud
from surgseg_ros.geometry.splatting import Splats, draw, splats_of
from surgseg_ros.media import pictures

BACKGROUND = (14, 16, 22)
_WIDTH = 960  # px of the picture
_RADIUS = 0.4  # of the circle, in distances to the scene: about 22 degrees to the side
_RETREAT = 0.3  # in distances: the circle lies behind the endoscope, to see more of the scene
_INERTIA = 0.9  # share of the last point looked at that stays, so that the view does not shake
_LENGTHS = (1, 2, 5, 10, 20, 50, 100)  # mm, of scale bars


class Orbit:
    """Pictures of clouds; it always looks at the middle of the scene.

    calibration: of the rectified left view in which the clouds are.
    """

    def __init__(self, calibration: StereoCalibration) -> None:
        self._calibration = calibration
        camera = calibration.left
        self._size = _WIDTH, 2 * round(_WIDTH * camera.height / camera.width / 2)
        self._focal_length = calibration.focal_length * _WIDTH / camera.width
        self._middle: np.ndarray | None = None

    def views(
        self, left: np.ndarray, result: StereoResult, angles: Iterable[float]
    ) -> Iterator[np.ndarray]:
        """Yield one HxWx3 uint8 RGB picture per angle (rad; 0 right of the endoscope, then below).

        left: HxWx3 uint8 RGB. result: disparity without cx_left - cx_right; tools become cyan.
        Raises ValueError if no pixel has a disparity.
        """
        coloured = pictures.tint(left, result.tool_mask)
        cloud = disparity_to_cloud(result.disparity, self._calibration, coloured)
        splats = splats_of(cloud, self._calibration.focal_length)
        if not len(splats.points):
            raise ValueError('there is no cloud to draw: no pixel has a disparity')
        middle = np.median(splats.points, axis=0).astype(float)
        if self._middle is not None:
            middle = _INERTIA * self._middle + (1 - _INERTIA) * middle
        self._middle = middle
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # drawing lets go of the interpreter
            yield from pool.map(lambda angle: self._draw(splats, middle, angle), angles)

    def _draw(self, splats: Splats, middle: np.ndarray, angle: float) -> np.ndarray:
        distance = float(np.linalg.norm(middle))
        across = _RADIUS * distance
        eye = np.array([across * math.cos(angle), across * math.sin(angle), -_RETREAT * distance])
        picture = draw(splats, looking(eye, middle), self._focal_length, self._size, BACKGROUND)
        scale = self._focal_length / float(np.linalg.norm(middle - eye)) / 1000  # px per mm
        return _scale_bar(picture, scale, 1000 * middle[2])


def looking(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pose 4x4, camera from world, of a camera at `eye` (m) that sees `target` in its middle.

    Its picture's upper edge points to -y, as that of the left camera does.
    """
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ eye
    return pose


def _scale_bar(picture: np.ndarray, scale: float, depth: float) -> np.ndarray:
    """Draw a bar for the middle of the scene, in place; scale: px per mm there, depth: mm."""
    height, width = picture.shape[:2]
    fitting = [length for length in _LENGTHS if length * scale < width / 4]
    length = max(fitting, default=_LENGTHS[0])
    left, bottom = round(0.03 * width), round(0.95 * height)
    end, white = left + round(length * scale), (255, 255, 255)
    for x in (left, end):
        cv2.line(picture, (x, bottom - 5), (x, bottom + 5), white, 2)
    cv2.line(picture, (left, bottom), (end, bottom), white, 2)
    cv2.putText(
        picture,
        f'{length} mm, at {depth:.0f} mm from the endoscope',
        (left, bottom - 14),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.55,
        white,
        1,
        cv2.LINE_AA,
    )
    return picture
