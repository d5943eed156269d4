"""The base of every node that looks at frames: input, pairing, rectification, time, counts."""

import math
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from message_filters import SimpleFilter, Subscriber
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from surgseg_ros.geometry.calibration import StereoCalibration
from surgseg_ros.geometry.calibration_checks import calibration_errors, calibration_warnings
from surgseg_ros.geometry.rectification import Rectifier, vertical_residual
from surgseg_ros.images import decode_compressed, decode_image
from surgseg_ros.messages import camera_model_from_info, stamp_of
from surgseg_ros.nodes.ledger import Ledger
from surgseg_ros.nodes.managed_node import NEWEST, RELIABLE, ManagedNode
from surgseg_ros.nodes.pairing import NANOSECONDS, StampPairer
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.worker import NewestWorker

SILENCE = 1.0   # s without images from an eye: ERROR ...
PATIENCE = 5.0   # ... but this long after the start
ROWS_APART = 1.0   # px between corresponding rows from which a matcher suffers
ROWS_CHECK_WIDTH = 640   # px to which images are shrunk for that check


@dataclass(frozen=True)
class Arrival:
    """A message and the moment it arrived (monotonic, s)."""

    message: Any
    moment: float


@dataclass
class StereoInput:
    """A decoded (and, if asked for, rectified) pair on its way through a node.

    left, right: HxWx3 uint8 RGB. header: stamp of the left image, left optical frame.
    milliseconds: time per stage, which process() goes on filling.
    """

    header: Header
    left: Any
    right: Any
    calibration: StereoCalibration
    milliseconds: dict[str, float]


class PairFilter(SimpleFilter):
    """StampPairer behind the interface of message_filters: inputs in, pairs of arrivals out."""

    def __init__(self, pairer: StampPairer, inputs: Mapping[str, SimpleFilter]) -> None:
        super().__init__()
        self._pairer = pairer
        for side, source in inputs.items():
            source.registerCallback(self._add, side)

    def _add(self, message: Any, side: str) -> None:
        arrival = Arrival(message, time.monotonic())
        group = self._pairer.add(side, stamp_of(message), arrival)
        if group is not None:
            self.signalMessage(*group)


class PerceptionNode(ManagedNode):
    """Takes stereo pairs; subclasses fill configure() and process().

    OUTPUTS: names of what the node can publish; each is computed only while it is listed in the
    parameter `outputs` and somebody subscribes.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ()
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ManagedNode.PARAMETERS,
        Parameter('image_transport', 'raw', 'how images arrive; compressed: JPEG or PNG',
                  choices=('raw', 'compressed')),
        Parameter('rectify', False, 'take image_raw and rectify it with the camera_info pair; '
                  'otherwise image_rect is expected'),
        Parameter('max_rate', 0.0, 'frames per second taken at most, on a grid of stamps shared '
                  'by all nodes; 0 takes all', range=(0.0, 1000.0), live=True),
        Parameter('max_stamp_difference', -1.0, "largest difference of the eyes' stamps in s; "
                  '0 is exact, -1 is half a frame period', range=(-1.0, 1.0)),
        Parameter('frame_id', '', 'frame of the outputs; empty is that of the left image'),
    )

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._outputs: dict[str, Publisher] = {}
        self._reset()

    def process(self, frame: StereoInput) -> None:
        """Compute and publish what is wanted of one frame; ValueError rejects it."""

    # Outputs.

    def output(self, name: str, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> None:
        """Make the publisher of output `name` (while configuring)."""
        self._outputs[name] = self.publisher(kind, topic, qos)

    def wanted(self, name: str) -> bool:
        """Tell whether output `name` exists, is enabled and has a subscriber."""
        return (name in self._outputs and name in self.p.outputs
                and self._outputs[name].get_subscription_count() > 0)

    def publish(self, name: str, message: Any) -> None:
        """Publish on output `name`."""
        self._outputs[name].publish(message)

    # Lifecycle.

    def activate(self) -> None:
        """Subscribe and start the worker."""
        self._reset()
        self._worker = NewestWorker(
            self._compute, lambda pair: self.ledger.count_dropped('newer frame waiting'))
        # camera_info first: the executor then takes it before the images that came with it.
        infos = {side: self._subscribe(CameraInfo, f'{side}/camera_info')
                 for side in ('left', 'right')}
        kind = Image if self.p.image_transport == 'raw' else CompressedImage
        self._inputs = {side: self._subscribe(kind, self._image_topic(side))
                        for side in self.pairer.sides}
        for side, source in self._inputs.items():
            source.registerCallback(self._note_arrival, side)
        for side, source in infos.items():
            source.registerCallback(self._take_info, side)
        self._pairs = PairFilter(self.pairer, self._inputs)
        self._pairs.registerCallback(self._take_pair)
        self._subscriptions_made = [*self._inputs.values(), *infos.values()]

    def deactivate(self) -> None:
        """Unsubscribe, then let the worker finish."""
        for subscriber in self._subscriptions_made:
            self.destroy_subscription(subscriber.sub)
        self._worker.stop()

    def cleanup(self) -> None:
        """Remove the publishers."""
        self._outputs = {}
        super().cleanup()

    def _reset(self) -> None:
        self.ledger = Ledger()
        difference = self.p.max_stamp_difference
        self.pairer = StampPairer(
            ('left', 'right'), None if difference < 0 else round(difference * NANOSECONDS))
        self._last_taken: int | None = None
        self._epoch = 0
        self._heard: dict[str, float] = {}
        self._active_since = time.monotonic()
        self._superseded_before = 0
        self._infos: Mapping[str, CameraInfo] = {}
        self._calibrated_from: Mapping[str, CameraInfo] = {}
        self._calibration: StereoCalibration | None = None
        self._rectifier: Rectifier | None = None
        self._rows_checked_for: StereoCalibration | None = None
        self._rows_apart = ''
        self._rows_check = threading.Thread()
        self._wall_clock_age = ''
        self._seen_before = (0, 0)

    def _image_topic(self, side: str) -> str:
        base = f'{side}/image_raw' if self.p.rectify else f'{side}/image_rect'
        return base if self.p.image_transport == 'raw' else f'{base}/compressed'

    def _subscribe(self, kind: type, topic: str) -> Subscriber:
        return Subscriber(
            self, kind, topic, qos_profile=NEWEST,
            qos_overriding_options=QoSOverridingOptions.with_default_policies())

    # Messages, in the executor's thread: nothing here takes long.

    def _note_arrival(self, message: Any, side: str) -> None:
        self._heard[side] = time.monotonic()

    def _take_info(self, info: CameraInfo, side: str) -> None:
        old = self._infos.get(side)
        if old is None or not _same_camera(old, info):
            self._infos = {**self._infos, side: info}   # a new dict: the worker may hold the old

    def _take_pair(self, left: Arrival, right: Arrival) -> None:
        self.ledger.count_pair()
        if not any(self.wanted(name) for name in self._outputs):
            self.ledger.count_dropped('nobody subscribes')
        elif not self._advances_grid(stamp_of(left.message)):
            self.ledger.count_dropped('max_rate')
        else:
            self._worker.put((left, right))

    def _advances_grid(self, stamp: int) -> bool:
        """Take a frame only if its cell of the stamp grid is new (cells centred on multiples)."""
        if self.p.max_rate == 0:
            return True
        if self._epoch != self.pairer.epochs:
            self._epoch, self._last_taken = self.pairer.epochs, None
        if self._last_taken is not None and self._cell(stamp) <= self._cell(self._last_taken):
            return False
        self._last_taken = stamp
        return True

    def _cell(self, stamp: int) -> int:
        return math.floor(stamp * self.p.max_rate / NANOSECONDS + 0.5)

    # Frames, in the worker's thread.

    def _compute(self, pair: tuple[Arrival, Arrival]) -> None:
        try:
            frame = self._prepare(*pair)
            self.process(frame)
        except ValueError as error:
            self._reject('input', str(error))
        except Exception as error:
            self._reject('internal', f'{type(error).__name__}: {error}')
            self.get_logger().debug(traceback.format_exc())
        else:
            now = self.get_clock().now().nanoseconds
            self._wall_clock_age = f'{(now - stamp_of(pair[0].message)) / NANOSECONDS:.3f}'
            received = min(arrival.moment for arrival in pair)
            frame.milliseconds['age'] = 1000 * (time.monotonic() - received)
            self.ledger.count_out(frame.milliseconds)

    def _reject(self, kind: str, reason: str) -> None:
        self.ledger.count_rejected(kind, reason)
        self.get_logger().error(f'frame rejected: {reason}', throttle_duration_sec=5.0)

    def _prepare(self, left: Arrival, right: Arrival) -> StereoInput:
        start = time.perf_counter()
        images = [self._decode(side, arrival.message)
                  for side, arrival in (('left', left), ('right', right))]
        decoded = time.perf_counter()
        milliseconds = {'decode': 1000 * (decoded - start)}
        calibration = self._current_calibration()
        _check_sizes(images, calibration)
        if self.p.rectify:
            start = time.perf_counter()
            assert self._rectifier is not None
            images = list(self._rectifier.rectify(*images))
            milliseconds['rectify'] = 1000 * (time.perf_counter() - start)
        self._check_rows(images, calibration)
        stamp = left.message.header.stamp
        header = Header(stamp=stamp, frame_id=self._frame_id(left.message.header.frame_id))
        return StereoInput(header, images[0], images[1], calibration, milliseconds)

    def _check_rows(self, images: list[Any], calibration: StereoCalibration) -> None:
        """Measure once per calibration whether the rows of the pair correspond."""
        if self._rows_checked_for is calibration or self._rows_check.is_alive():
            return
        scale = min(ROWS_CHECK_WIDTH / images[0].shape[1], 1.0)
        small = [cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                 for image in images]
        # In a thread of its own: it takes as long as several frames may take.
        self._rows_check = threading.Thread(
            target=self._measure_rows, args=(small, scale, calibration), daemon=True)
        self._rows_check.start()

    def _measure_rows(
            self, images: list[Any], scale: float, calibration: StereoCalibration) -> None:
        residual, matches = vertical_residual(*images)
        if residual is None:
            return   # too little to see: the next frame is tried
        residual /= scale
        self._rows_checked_for, self._rows_apart = calibration, f'{residual:.2f}'
        if residual > ROWS_APART:
            self.get_logger().warning(
                f'the rows of left and right are {residual:.1f} px apart ({matches} matches): the '
                'images are not rectified, or camera_info does not belong to them')

    def _decode(self, side: str, message: Any) -> Any:
        decode = decode_image if self.p.image_transport == 'raw' else decode_compressed
        try:
            return decode(message)
        except ValueError as error:
            raise ValueError(f'{side} image: {error}') from error

    def _current_calibration(self) -> StereoCalibration:
        """Calibration of the pair as it is processed; made anew when a camera_info changed."""
        infos = self._infos
        if self._calibration is None or infos is not self._calibrated_from:
            self._calibration = self._check_calibration(infos)
            self._calibrated_from = infos
        return self._calibration

    def _check_calibration(self, infos: Mapping[str, CameraInfo]) -> StereoCalibration:
        missing = [side for side in ('left', 'right') if side not in infos]
        if missing:
            topics = ' and '.join(self.resolve_topic_name(f'{s}/camera_info') for s in missing)
            raise ValueError(f'no camera_info yet on {topics}')
        given = StereoCalibration(*(camera_model_from_info(infos[s]) for s in ('left', 'right')))
        if errors := calibration_errors(given):
            raise ValueError(f'camera_info: {errors[0]}')
        for warning in calibration_warnings(given):
            self.get_logger().warning(f'camera_info: {warning}')
        self._rectifier = Rectifier(given) if self.p.rectify else None
        return self._rectifier.calibration if self._rectifier else given

    def _frame_id(self, given: str) -> str:
        given = self.p.frame_id or given
        if given.startswith('/'):
            self.get_logger().warning(
                f'frame_id "{given}" has a leading slash, which tf2 refuses; it is left out',
                once=True)
        return given.lstrip('/')

    # Diagnostics.

    def diagnose(self) -> tuple[bytes, str, Mapping[str, str]]:
        """Counts and latencies; ERROR without input or with unusable input, WARN when too slow."""
        values = self._input_counts() | self.ledger.summary()
        superseded = self.ledger.dropped['newer frame waiting']
        recent, self._superseded_before = superseded - self._superseded_before, superseded
        if fault := self._silence() or self._no_pairs():
            return DiagnosticStatus.ERROR, fault, values
        if self.ledger.seconds_since_rejection < 2.0:
            return DiagnosticStatus.ERROR, self.ledger.last_reason, values
        if recent > 0:
            return (DiagnosticStatus.WARN,
                    f'slower than the input: {recent} frames dropped in the last second', values)
        return DiagnosticStatus.OK, f'{self.ledger.rate():.1f} Hz', values

    def _silence(self) -> str:
        """Name the eyes that have sent nothing lately, or ''."""
        now = time.monotonic()
        silent = [side for side in self.pairer.sides
                  if now - self._heard.get(side, self._active_since + PATIENCE) > SILENCE]
        topics = [self.resolve_topic_name(self._image_topic(side)) for side in silent]
        return f'no image on {" and ".join(topics)}' if topics else ''

    def _no_pairs(self) -> str:
        """Say so if images have gone by without a single pair since the last report."""
        pairer = self.pairer
        gone = min(pairer.unpaired[side] + pairer.out_of_order[side] for side in pairer.sides)
        (gone_before, paired_before), self._seen_before = self._seen_before, (gone, pairer.paired)
        if gone == gone_before or pairer.paired > paired_before:
            return ''
        return ('left and right arrive but do not pair: their newest stamps are '
                f'{pairer.difference / 1e6:.1f} ms apart, allowed are '
                f'{pairer.tolerance / 1e6:.1f} ms')

    def _input_counts(self) -> dict[str, str]:
        pairer = self.pairer
        counts = {'epochs': str(pairer.epochs), 'vertical residual [px]': self._rows_apart,
                  'wall-clock age [s]': self._wall_clock_age}
        for side in pairer.sides:
            counts[f'{side} received'] = str(pairer.received[side])
            counts[f'{side} unpaired'] = str(pairer.unpaired[side])
            counts[f'{side} out of order'] = str(pairer.out_of_order[side])
        return counts


def _same_camera(one: CameraInfo, other: CameraInfo) -> bool:
    return ((one.width, one.height, one.distortion_model)
            == (other.width, other.height, other.distortion_model)
            and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in 'dkrp'))


def _check_sizes(images: list[Any], calibration: StereoCalibration) -> None:
    for side, image, camera in zip(
            ('left', 'right'), images, (calibration.left, calibration.right), strict=True):
        height, width = image.shape[:2]
        if (width, height) != (camera.width, camera.height):
            raise ValueError(
                f'the {side} image is {width}x{height}, its camera_info says '
                f'{camera.width}x{camera.height}')
