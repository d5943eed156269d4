"""From the messages of one stamp to a Frame: decoded, checked, rectified."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from message_filters import SimpleFilter
from std_msgs.msg import Header

from surgseg_ros.frames.calibration import CameraModel
from surgseg_ros.nodes.cameras import Cameras, CameraSet
from surgseg_ros.nodes.parameters import Parameters
from surgseg_ros.nodes.stream import LEFT, RIGHT, Frame, ImageInput, Input
from surgseg_ros.rosdata.factory import Message
from surgseg_ros.rosdata.messages import stamp_of
from surgseg_ros.streams.pairing import StampPairer
from surgseg_ros.streams.row_check import RowCheck


@dataclass(frozen=True)
class Arrival:
    """A message and the moment it arrived (monotonic, s)."""

    message: Message
    moment: float


Group = tuple[Arrival | None, ...]  # of the inputs in their order; the first is there


class PairFilter(SimpleFilter):
    """StampPairer behind the interface of message_filters: inputs in, groups of arrivals out."""

    def __init__(self, pairer: StampPairer[Arrival], inputs: Mapping[str, SimpleFilter]) -> None:
        super().__init__()
        self._pairer = pairer
        for side, source in inputs.items():
            source.registerCallback(self._add, side)

    def _add(self, message: Message, side: str) -> None:
        arrival = Arrival(message, time.monotonic())
        group = self._pairer.add(side, stamp_of(message), arrival)
        if group is not None:
            self.signalMessage(*group)


class FrameMaker:
    """Makes frames for a node with these inputs, parameters and cameras.

    warn: called with one sentence about what is wrong with images.
    """

    def __init__(
        self,
        inputs: Sequence[Input[object]],
        p: Parameters,
        cameras: Cameras,
        warn: Callable[[str], object],
    ) -> None:
        self._inputs = inputs
        self._p, self._cameras = p, cameras
        self._pairs = LEFT in inputs and RIGHT in inputs
        self._warn, self._slash_told, self._nameless_told = warn, False, False
        self._rows = RowCheck(warn)

    def make(self, group: Group, jumps: int) -> Frame:
        """Decode one message per input; ValueError rejects them in one sentence."""
        assert group[0]
        start = time.perf_counter()
        values = {
            one.name: _decode(one, arrival.message, self._p)
            for one, arrival in zip(self._inputs, group, strict=True)
            if arrival
        }
        milliseconds = {'image': 1000 * (time.perf_counter() - start)}
        cameras = self._cameras.current()
        self._prepare_images(values, cameras, milliseconds)
        given = group[0].message.header
        return Frame(
            Header(stamp=given.stamp, frame_id=self._frame_id(given.frame_id)),
            milliseconds,
            jumps,
            values,
            cameras.models,
            cameras.calibration,
        )

    def details(self) -> dict[str, str]:
        """For the diagnostics: distance of corresponding rows, if images form pairs."""
        return {'vertical residual [px]': self._rows.residual} if self._pairs else {}

    def doubt(self) -> str:
        """Say what is wrong with the images, or ''."""
        return self._rows.doubt

    def _frame_id(self, given: str) -> str:
        name: str = self._p.frame_id or given
        if not name and not self._nameless_told:
            self._nameless_told = True
            self._warn('the images have no frame_id, so nobody can place them: set `frame_id`')
        if name.startswith('/') and not self._slash_told:
            self._slash_told = True
            self._warn(f'frame_id "{name}" has a leading slash, which tf2 refuses; it is left out')
        return name.lstrip('/')

    def _prepare_images(
        self, values: dict[str, Any], cameras: CameraSet, milliseconds: dict[str, float]
    ) -> None:
        """Check the sizes of images, and rectify them, in place."""
        start = time.perf_counter()
        for one in self._inputs:
            if isinstance(one, ImageInput) and one.name in cameras.models:
                _check_size(one.name, values[one.name], cameras.models[one.name])
                if one.name in cameras.rectifiers:
                    values[one.name] = cameras.rectifiers[one.name].rectify(values[one.name])
        if cameras.rectifiers:
            milliseconds['rectify'] = 1000 * (time.perf_counter() - start)
        if self._pairs and cameras.calibration:
            self._rows.see(values[LEFT.name], values[RIGHT.name], cameras.calibration)


def _decode(one: Input[object], message: Message, p: Parameters) -> object:
    _, decode = one.received(p)
    try:
        return decode(message)
    except ValueError as error:
        what = f'{one.name} image' if isinstance(one, ImageInput) else one.name
        raise ValueError(f'{what}: {error}') from error


def _check_size(side: str, image: np.ndarray, camera: CameraModel) -> None:
    """Raise ValueError unless an HxWx... image has the size that its camera_info says."""
    height, width = image.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise ValueError(
            f'the {side} image is {width}x{height}, its camera_info says '
            f'{camera.width}x{camera.height}'
        )
