"""What tool_pose_node takes: masks as instances, disparity and its standard deviation."""

from dataclasses import dataclass, replace

import numpy as np
from sensor_msgs.msg import Image
from stereo_msgs.msg import DisparityImage

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.msg import InstrumentInstances
from surgseg_ros.nodes.stream import Frame, Input
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.factory import Message
from surgseg_ros.rosdata.images import decode_float, decode_labels


@dataclass(frozen=True)
class ScaledDisparity:
    """pixels: HxW float32 px, NaN unknown. f (px) and t (baseline, m) that it was made with."""

    pixels: np.ndarray
    f: float
    t: float


def _disparity(message: Message) -> ScaledDisparity:
    if not (message.f > 0 and message.t > 0):
        raise ValueError(
            f'f = {message.f:g} px and t = {message.t:g} m: without both there is no depth'
        )
    return ScaledDisparity(messages.disparity_from_message(message), message.f, message.t)


DISPARITY = Input('disparity', DisparityImage, _disparity, 'with f in px and t in m')
STDDEV = Input(
    'disparity_stddev', Image, decode_float, 'px; 0.5 px if it is not published', optional=True
)
INSTANCES: Input[InstanceResult] = Input(
    'instances', InstrumentInstances, messages.instance_result, 'if `masks` is instances'
)
SEGMENTATION: Input[np.ndarray] = Input(
    'segmentation', Image, decode_labels, 'if `masks` is segmentation: split into regions'
)
TOOL_MASK: Input[np.ndarray] = Input(
    'tool_mask', Image, decode_labels, 'if `masks` is tool_mask: split into regions'
)
MASKS: dict[str, Input[InstanceResult | np.ndarray]] = {
    one.name: one for one in (INSTANCES, SEGMENTATION, TOOL_MASK)
}


def calibration_of(frame: Frame) -> StereoCalibration:
    """Left camera with the f and t of the disparity; ValueError where the two do not agree."""
    left, disparity = frame.cameras['left'], frame[DISPARITY]
    if abs(disparity.f - left.P[0, 0]) > 0.01 * disparity.f:
        raise ValueError(
            f'the disparity was made with f = {disparity.f:g} px, camera_info says '
            f'{left.P[0, 0]:g} px'
        )
    P = left.P.copy()
    P[0, 3] = -disparity.f * disparity.t
    return StereoCalibration(left, replace(left, P=P))


def check_sizes(frame: Frame, instances: InstanceResult, camera: CameraModel) -> None:
    """Raise ValueError if the sizes of the inputs differ from the camera's."""
    stddev = frame.get(STDDEV)
    sizes = {'the disparity': frame[DISPARITY].pixels.shape, 'masks': instances.masks.shape[1:]}
    if stddev is not None:
        sizes['disparity_stddev'] = stddev.shape
    for name, (height, width) in sizes.items():
        if (width, height) != (camera.width, camera.height):
            raise ValueError(
                f'{name}: {width}x{height}, camera_info says {camera.width}x{camera.height}'
            )
