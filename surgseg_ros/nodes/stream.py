"""What a node that works on streams declares: its inputs and outputs, as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.frames.stacking import split_eyes
from surgseg_ros.frames.stereo_frame import LeftFrame, StereoFrame
from surgseg_ros.nodes.managed_node import RELIABLE
from surgseg_ros.nodes.parameters import Parameter, Parameters
from surgseg_ros.rosdata.factory import Message
from surgseg_ros.rosdata.images import decode_compressed, decode_image
from surgseg_ros.rosdata.messages import stamp_of

T = TypeVar('T')
T_co = TypeVar('T_co', covariant=True)
MessageType: TypeAlias = type[Message]
Values: TypeAlias = Parameters | SimpleNamespace  # of a node's parameters, as attributes


@dataclass(frozen=True)
class Input(Generic[T_co]):
    """A topic whose messages pair with those of the other inputs by their stamps.

    name: the topic, also used in messages. type: its message class. decode: makes what the
    node works on of a message; a ValueError rejects the frame. meaning: for the table of topics.
    optional: frames come without it if it has no publisher.
    """

    name: str
    type: MessageType
    decode: Callable[[Message], T_co]
    meaning: str
    optional: bool = False

    def topic(self, p: Values) -> str:
        """Where it comes from, with these parameters."""
        return self.name

    def received(self, p: Values) -> tuple[MessageType, Callable[[Message], T_co]]:
        """Message class and decoder, with these parameters."""
        return self.type, self.decode


class ImageInput(Input[np.ndarray]):
    """The images of one camera, HxWx3 uint8 RGB: raw or compressed, and rectified on request.

    side: 'left' or 'right'. The parameters image_transport, rectify and stacking say what arrives.
    """

    def __init__(self, side: str, meaning: str) -> None:
        super().__init__(side, Image, decode_image, meaning)

    def topic(self, p: Values) -> str:
        """See Input; `image_raw` if the node rectifies, `stereo/` with both views in one image."""
        place = self.name if p.stacking == 'none' else 'stereo'
        base = f'{place}/image_raw' if p.rectify else f'{place}/image_rect'
        return base if p.image_transport == 'raw' else f'{base}/compressed'

    def received(self, p: Values) -> tuple[MessageType, Callable[[Message], np.ndarray]]:
        """See Input."""
        kind, decode = (
            (Image, decode_image)
            if p.image_transport == 'raw'
            else (CompressedImage, decode_compressed)
        )
        if p.stacking == 'none':
            return kind, decode
        eye = 0 if self.name == 'left' else 1
        return kind, lambda message: split_eyes(decode(message), p.stacking)[eye]


LEFT = ImageInput('left', 'rectified left image; its stamp and frame go through to every output')
RIGHT = ImageInput('right', 'rectified right image')
CAMERA_INFO = {  # by side; its meaning
    'left': 'kept until a new one comes; need not be in step with the images',
    'right': 'likewise; P[3] = -f * baseline, in px * m, gives the scale',
}


@dataclass
class Frame:
    """What is processed at once: one decoded message of each input.

    header: stamp of the first input, and the frame_id of the outputs. milliseconds: time per
    stage, which process() goes on filling. jumps: how often time has jumped by then in what
    arrives. cameras: rectified, by side, of those that the node asks for.
    """

    header: Header
    milliseconds: dict[str, float]
    jumps: int
    values: Mapping[str, Any]
    cameras: Mapping[str, CameraModel]
    calibration: StereoCalibration | None = None

    @property
    def stamp(self) -> int:
        """Nanoseconds."""
        return stamp_of(self)

    def __getitem__(self, wanted: Input[T]) -> T:
        """Return the value of an input that is not optional."""
        value: T = self.values[wanted.name]
        return value

    def get(self, wanted: Input[T]) -> T | None:
        """Return the value of an input, None where it did not come."""
        return self.values.get(wanted.name)


@dataclass(frozen=True)
class Output:
    """A topic that a node publishes: computed only while it is enabled and has a subscriber.

    name: in the parameter `outputs`; several outputs, say one for each tool, may share one. type:
    its message class. topic: '~/x' is below the node's name. make: the message of a frame and
    what process() returned for it, with the node's parameters; None publishes nothing. meaning:
    for the table of topics. labelled: `<topic>/label_info` says, latched, what class ids mean.
    """

    name: str
    type: MessageType
    topic: str
    make: Callable[[Frame, Any, Parameters], object]
    meaning: str
    labelled: bool = False
    qos: QoSProfile = field(default_factory=lambda: RELIABLE)


def outputs_parameter(
    outputs: Sequence[Output], default: Sequence[str] | None = None
) -> Parameter:
    """The parameter `outputs`: which of them may be published; default all."""
    names = tuple(dict.fromkeys(output.name for output in outputs))
    return Parameter(
        'outputs',
        list(default or names),
        'enabled outputs; each is computed only while it has a subscriber',
        choices=names,
        live=True,
    )


def left_frame(frame: Frame) -> LeftFrame:
    """What a step for left images takes."""
    return LeftFrame(frame.stamp, frame[LEFT], jumps=frame.jumps)


def stereo_frame(frame: Frame) -> StereoFrame:
    """What a step for pairs takes."""
    return StereoFrame(
        frame.stamp,
        frame[LEFT],
        frame[RIGHT],
        frame.calibration,
        frame_id=frame.header.frame_id,
        jumps=frame.jumps,
    )
