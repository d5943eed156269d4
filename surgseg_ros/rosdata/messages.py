"""numpy results <-> the fields of ROS messages, written once for rclpy and for bags.

Every function that builds a message takes `make`, a MessageFactory, and knows nothing else of
ROS: nodes pass one over rclpy's classes, bags one over rosbags' (surgseg_ros.bags.make_message).
Numbers are handed over as Python numbers, uint8 arrays as bytes, fixed arrays as ndarray: what
both kinds of class take without a slow detour. Functions that read use attributes only.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.frames.parts import Part
from surgseg_ros.frames.results import InstanceResult, mask_boxes
from surgseg_ros.rosdata.factory import Message, MessageFactory, Stamped
from surgseg_ros.rosdata.images import decode_float, encode_image

NANOSECONDS = 1_000_000_000


def time_message(make: MessageFactory, stamp: int) -> Message:
    """builtin_interfaces/Time of a stamp in nanoseconds."""
    seconds, nanoseconds = divmod(int(stamp), NANOSECONDS)
    return make('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)


def stamp_of(message: Message | Stamped) -> int:
    """Nanoseconds of a message's header.stamp."""
    stamp = message.header.stamp
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def header(make: MessageFactory, stamp: int, frame_id: str) -> Message:
    """std_msgs/Header of a stamp in nanoseconds."""
    return make('std_msgs/msg/Header', stamp=time_message(make, stamp), frame_id=frame_id)


def image(make: MessageFactory, header: object, pixels: np.ndarray, encoding: str) -> Message:
    """sensor_msgs/Image of pixels laid out as `encoding` says (see images.encode_image)."""
    return make('sensor_msgs/msg/Image', header=header, **encode_image(pixels, encoding))


def probabilities_image(
    make: MessageFactory, header: object, probabilities: np.ndarray
) -> Message:
    """sensor_msgs/Image 32FC<C> of CxHxW float32 planes, one per class id."""
    planes = np.moveaxis(probabilities, 0, -1)
    if len(probabilities) == 1:
        planes = planes[..., 0]
    return image(make, header, planes, f'32FC{len(probabilities)}')


def camera_info(make: MessageFactory, header: object, camera: CameraModel) -> Message:
    """sensor_msgs/CameraInfo; image_pipeline wants the left optical frame for both eyes."""
    return make(
        'sensor_msgs/msg/CameraInfo',
        header=header,
        height=int(camera.height),
        width=int(camera.width),
        distortion_model=camera.distortion_model,
        d=[float(value) for value in np.ravel(camera.D)],
        k=np.ravel(camera.K).astype(np.float64),
        r=np.ravel(camera.R).astype(np.float64),
        p=np.ravel(camera.P).astype(np.float64),
    )


def camera_model_from_info(message: Message) -> CameraModel:
    """sensor_msgs/CameraInfo -> CameraModel; matrices are copied, nothing is judged."""
    return CameraModel(
        width=int(message.width),
        height=int(message.height),
        K=np.array(message.k, np.float64).reshape(3, 3),
        D=np.array(message.d, np.float64),
        R=np.array(message.r, np.float64).reshape(3, 3),
        P=np.array(message.p, np.float64).reshape(3, 4),
        distortion_model=message.distortion_model,
    )


def disparity_image(
    make: MessageFactory,
    header: object,
    disparity: np.ndarray,
    calibration: StereoCalibration | None,
    disparity_range: tuple[float, float] | None = None,
    step: float = 0.0,
) -> Message:
    """stereo_msgs/DisparityImage of an HxW float32 disparity in px, NaN unknown.

    disparity: without cx_left - cx_right, as in geometry.points, so that Z = f * t / disparity.
    calibration: gives f and t, which are 0 where it is None.
    disparity_range: least and greatest disparity that can be found, px; without it 0 and the
    greatest value. Pixels unknown or below the range are stored as its lower end - 1.
    step: smallest difference between two disparities, px.
    """
    low, high = disparity_range or (0.0, float(np.nanmax(disparity, initial=0.0)))
    stored = np.where(disparity >= low, disparity, np.float32(low - 1))
    height, width = disparity.shape
    return make(
        'stereo_msgs/msg/DisparityImage',
        header=header,
        image=image(make, header, stored, '32FC1'),
        f=calibration.focal_length if calibration else 0.0,
        t=calibration.baseline if calibration else 0.0,
        valid_window=_roi(make, 0, 0, width, height),
        min_disparity=float(low),
        max_disparity=float(high),
        delta_d=float(step),
    )


def disparity_from_message(message: Message) -> np.ndarray:
    """stereo_msgs/DisparityImage -> HxW float32 px as above, NaN unknown."""
    stored = decode_float(message.image)
    return np.where(stored >= message.min_disparity, stored, np.float32(np.nan))


_FLOAT32, _UINT8 = 7, 2  # sensor_msgs/PointField


def point_cloud2(make: MessageFactory, header: object, cloud: np.ndarray) -> Message:
    """sensor_msgs/PointCloud2 of an organised cloud from geometry.points (HxW, x y z rgb [label]).

    Unknown points are NaN, so is_dense is false.
    """
    height, width = cloud.shape
    fields = [
        make(
            'sensor_msgs/msg/PointField',
            name=name,
            offset=int(offset),
            datatype=_FLOAT32 if kind == np.float32 else _UINT8,
            count=1,
        )
        for name, (kind, offset, *_) in (cloud.dtype.fields or {}).items()
    ]
    return make(
        'sensor_msgs/msg/PointCloud2',
        header=header,
        height=height,
        width=width,
        fields=fields,
        is_bigendian=False,
        point_step=cloud.itemsize,
        row_step=cloud.itemsize * width,
        data=cloud.tobytes(),
        is_dense=False,
    )


def cloud_from_message(message: Message) -> np.ndarray:
    """sensor_msgs/PointCloud2 as made above -> HxW structured array, a view of its buffer.

    Raises ValueError if a field is neither float32 nor uint8.
    """
    formats = {_FLOAT32: '<f4', _UINT8: 'u1'}
    wrong = [field.name for field in message.fields if field.datatype not in formats]
    if wrong:
        raise ValueError(f'point cloud fields {wrong} are neither float32 nor uint8')
    dtype = np.dtype(
        {
            'names': [field.name for field in message.fields],
            'formats': [formats[field.datatype] for field in message.fields],
            'offsets': [field.offset for field in message.fields],
            'itemsize': message.point_step,
        }
    )
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def label_info(make: MessageFactory, header: object, class_names: Sequence[str]) -> Message:
    """vision_msgs/LabelInfo: what the ids 0, 1, ... of a label image mean."""
    classes = [
        make('vision_msgs/msg/VisionClass', class_id=index, class_name=name)
        for index, name in enumerate(class_names)
    ]
    return make('vision_msgs/msg/LabelInfo', header=header, class_map=classes)


def instrument_instance(
    make: MessageFactory,
    parts: np.ndarray,
    class_id: int,
    class_name: str,
    score: float = 1.0,
    track_id: int = 0,
) -> Message:
    """surgseg_ros/InstrumentInstance of an HxW uint8 mask of the whole image.

    parts: 0 where the instrument is not, else values of Part. The message keeps the tight box.
    """
    parts = parts.astype(np.uint8, copy=False)
    left, top, width, height = cv2.boundingRect(parts)
    return make(
        'surgseg_ros/msg/InstrumentInstance',
        class_id=int(class_id),
        class_name=class_name,
        score=float(score),
        track_id=int(track_id),
        roi=_roi(make, left, top, width, height),
        mask=parts[top : top + height, left : left + width].tobytes(),
    )


def instance_parts(message: Message, height: int, width: int) -> np.ndarray:
    """surgseg_ros/InstrumentInstance -> HxW uint8 mask of the whole image (values of Part).

    Raises ValueError if the box leaves the image or the mask does not fill it.
    """
    roi, mask = message.roi, np.frombuffer(message.mask, np.uint8)
    top, left, bottom, right = box = (
        roi.y_offset,
        roi.x_offset,
        roi.y_offset + roi.height,
        roi.x_offset + roi.width,
    )
    if bottom > height or right > width or mask.size != roi.height * roi.width:
        raise ValueError(
            f'an instance mask of {mask.size} px does not fill its box {box} '
            f'in an image of {width} x {height}'
        )
    parts = np.zeros((height, width), np.uint8)
    parts[top:bottom, left:right] = mask.reshape(roi.height, roi.width)
    return parts


def instance_result(message: Message) -> InstanceResult:
    """surgseg_ros/InstrumentInstances -> InstanceResult; names of absent classes are empty.

    Raises ValueError as instance_parts does.
    """
    found, size = message.instances, (int(message.height), int(message.width))
    parts = np.zeros((len(found), *size), np.uint8)
    for plane, one in zip(parts, found, strict=True):
        plane[:] = instance_parts(one, *size)
    names = [''] * (1 + max((int(one.class_id) for one in found), default=0))
    for one in found:
        names[one.class_id] = one.class_name
    masks = parts > 0
    return InstanceResult(
        np.array([one.class_id for one in found], np.int64),
        np.array([one.score for one in found], np.float32),
        mask_boxes(masks),
        masks,
        parts,
        tuple(names),
        track_ids=np.array([one.track_id for one in found], np.uint32),
    )


def instrument_instances(
    make: MessageFactory, header: object, height: int, width: int, instances: Sequence[Message]
) -> Message:
    """surgseg_ros/InstrumentInstances of an image of this size from instrument_instance()s."""
    return make(
        'surgseg_ros/msg/InstrumentInstances',
        header=header,
        height=int(height),
        width=int(width),
        instances=list(instances),
    )


def instances_of(make: MessageFactory, header: object, result: InstanceResult) -> Message:
    """surgseg_ros/InstrumentInstances of a result; without parts all is UNKNOWN_PART."""
    parts: Iterable[np.ndarray] | None = result.parts
    if parts is None:
        parts = (mask * np.uint8(Part.UNKNOWN) for mask in result.masks)
    height, width = result.masks.shape[1:]
    return instrument_instances(
        make,
        header,
        height,
        width,
        [
            instrument_instance(
                make, mask, class_id, result.class_names[class_id], score, track_id
            )
            for mask, class_id, score, track_id in zip(
                parts, result.class_ids.tolist(), result.scores, _track_ids(result), strict=True
            )
        ],
    )


def detections_of(make: MessageFactory, header: object, result: InstanceResult) -> Message:
    """vision_msgs/Detection2DArray: the box of each instance, class id and score.

    Of a detection, `id` is the track id, empty where there is none. Boxes are in px, as those of
    InstanceResult: the first pixel of an image reaches from 0 to 1.
    """
    return make(
        'vision_msgs/msg/Detection2DArray',
        header=header,
        detections=[
            make(
                'vision_msgs/msg/Detection2D',
                header=header,
                results=[_hypothesis(make, class_id, score)],
                bbox=_bounding_box(make, *box),
                id=str(track_id or ''),
            )
            for class_id, score, box, track_id in zip(
                result.class_ids.tolist(),
                result.scores.tolist(),
                result.boxes.tolist(),
                _track_ids(result),
                strict=True,
            )
        ],
    )


def instance_map(message: Message) -> np.ndarray:
    """surgseg_ros/InstrumentInstances -> HxW uint8: 0 tissue, else track_id (the last on top).

    Raises ValueError where a track_id is above 255, as after hours of tracking.
    """
    slots = np.zeros((message.height, message.width), np.uint8)
    for instance in message.instances:
        if instance.track_id > 255:
            raise ValueError(
                f'an instance has track_id {instance.track_id}, a map of instances has 255 at most'
            )
        slots[instance_parts(instance, *slots.shape) > 0] = instance.track_id
    return slots


def pose_message(make: MessageFactory, pose: np.ndarray) -> Message:
    """geometry_msgs/Pose of a 4x4 rigid transform in metres; NaN stays NaN."""
    from surgseg_ros.geometry.transforms import quaternion_from_matrix  # scipy: 35 MB

    known = np.isfinite(pose[:3, :3]).all()
    x, y, z, w = quaternion_from_matrix(pose).tolist() if known else 4 * [np.nan]
    px, py, pz = pose[:3, 3].tolist()
    return make(
        'geometry_msgs/msg/Pose',
        position=make('geometry_msgs/msg/Point', x=px, y=py, z=pz),
        orientation=make('geometry_msgs/msg/Quaternion', x=x, y=y, z=z, w=w),
    )


def matrix_from_pose(message: Message) -> np.ndarray:
    """geometry_msgs/Pose -> 4x4 float64; NaN stays NaN."""
    from surgseg_ros.geometry.transforms import matrix_from_quaternion

    at, turn = message.position, message.orientation
    quaternion = np.array([turn.x, turn.y, turn.z, turn.w], np.float64)
    known = np.isfinite(quaternion).all()
    matrix = matrix_from_quaternion(quaternion) if known else np.eye(4)
    matrix[:3, :3] = matrix[:3, :3] if known else np.nan
    matrix[:3, 3] = at.x, at.y, at.z
    return matrix


def _track_ids(result: InstanceResult) -> list[int]:
    return [0] * len(result.scores) if result.track_ids is None else result.track_ids.tolist()


def _hypothesis(make: MessageFactory, class_id: int, score: float) -> object:
    hypothesis = make('vision_msgs/msg/ObjectHypothesis', class_id=str(class_id), score=score)
    return make('vision_msgs/msg/ObjectHypothesisWithPose', hypothesis=hypothesis)


def _bounding_box(make: MessageFactory, x0: float, y0: float, x1: float, y1: float) -> object:
    middle = make('vision_msgs/msg/Point2D', x=(x0 + x1) / 2, y=(y0 + y1) / 2)
    return make(
        'vision_msgs/msg/BoundingBox2D',
        size_x=x1 - x0,
        size_y=y1 - y0,
        center=make('vision_msgs/msg/Pose2D', position=middle),
    )


def _roi(make: MessageFactory, left: int, top: int, width: int, height: int) -> object:
    return make(
        'sensor_msgs/msg/RegionOfInterest',
        x_offset=int(left),
        y_offset=int(top),
        width=int(width),
        height=int(height),
    )
