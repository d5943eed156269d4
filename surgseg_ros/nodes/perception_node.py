"""The base of every node that looks at frames: input, stamp grid, worker, outputs, counts.

What a frame is, one image or a pair, is said by image_node and stereo_pair_node.
"""

import math
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from message_filters import SimpleFilter, Subscriber
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from surgseg_ros.nodes.camera_infos import CameraInfos
from surgseg_ros.nodes.managed_node import LATCHED, NEWEST, RELIABLE, ManagedNode
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.images import decode_compressed, decode_image
from surgseg_ros.rosdata.messages import NANOSECONDS, stamp_of
from surgseg_ros.streams.input_health import InputHealth
from surgseg_ros.streams.ledger import Ledger
from surgseg_ros.streams.pairing import StampPairer
from surgseg_ros.streams.worker import NewestWorker

# s of one computation; MSDESIS takes a few on a slow CPU, and nobody steers by what takes longer
STUCK = 10.0


@dataclass(frozen=True)
class Arrival:
    """A message and the moment it arrived (monotonic, s)."""

    message: Any
    moment: float


@dataclass
class Frame:
    """What is processed at once. header: stamp of the left image, left optical frame.

    milliseconds: time per stage, which process() goes on filling.
    """

    header: Header
    milliseconds: dict[str, float]


class PairFilter(SimpleFilter):
    """StampPairer behind the interface of message_filters: inputs in, groups of arrivals out."""

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
    """Takes images of SIDES; subclasses fill configure(), prepare() and process().

    OUTPUTS: names of what the node can publish; each is computed only while it is listed in the
    parameter `outputs` and somebody subscribes.
    """

    SIDES: ClassVar[tuple[str, ...]]
    OUTPUTS: ClassVar[tuple[str, ...]] = ()
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ManagedNode.PARAMETERS,
        Parameter(
            'image_transport',
            'raw',
            'how images arrive; compressed: JPEG or PNG',
            choices=('raw', 'compressed'),
        ),
        Parameter(
            'rectify',
            False,
            'take image_raw and rectify it with camera_info; otherwise image_rect is expected',
        ),
        Parameter(
            'max_rate',
            0.0,
            'frames per second taken at most, on a grid of stamps shared '
            'by all nodes; 0 takes all',
            range=(0.0, 1000.0),
            live=True,
        ),
        Parameter('frame_id', '', 'frame of the outputs; empty is that of the left image'),
    )

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._outputs: dict[str, Publisher] = {}
        self.reset()

    # What a node does with frames: for subclasses to fill.

    def cameras(self) -> CameraInfos | None:
        """Make the cache of the camera_info that the node needs, if any."""
        return None

    def prepare(
        self, header: Header, images: list[np.ndarray], milliseconds: dict[str, float]
    ) -> Frame:
        """Make a frame of the decoded images of SIDES, HxWx3 uint8 RGB; ValueError rejects it."""
        raise NotImplementedError

    def process(self, frame: Any, wanted: list[str]) -> None:
        """Compute and publish these of OUTPUTS, one or more; ValueError rejects the frame."""
        raise NotImplementedError

    def details(self) -> Mapping[str, str]:
        """More values for the diagnostics."""
        return {}

    # Outputs.

    def output(self, name: str, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> None:
        """Make the publisher of output `name` (while configuring)."""
        self._outputs[name] = self.publisher(kind, topic, qos)

    def wanted(self, name: str) -> bool:
        """Tell whether output `name` exists, is enabled and has a subscriber."""
        return (
            name in self._outputs
            and name in self.p.outputs
            and self._outputs[name].get_subscription_count() > 0
        )

    def all_wanted(self) -> list[str]:
        """List the outputs that are wanted now."""
        return [name for name in self.OUTPUTS if self.wanted(name)]

    def publish(self, name: str, message: Any) -> None:
        """Publish on output `name`."""
        self._outputs[name].publish(message)

    def publish_wanted(self, names: list[str], frame: Any, result: Any) -> None:
        """Publish what the methods `_<name>_message(frame, result)` make, and time it."""
        start = time.perf_counter()
        for name in names:
            self.publish(name, getattr(self, f'_{name}_message')(frame, result))
        frame.milliseconds['publish'] = 1000 * (time.perf_counter() - start)

    def announce_labels(self, topic: str, class_names: Sequence[str]) -> None:
        """Publish on `<topic>/label_info`, latched, what the ids of a label image mean."""
        publisher = self.publisher(LabelInfo, f'{topic}/label_info', LATCHED)
        header = messages.header(make_message, self.get_clock().now().nanoseconds, '')
        publisher.publish(messages.label_info(make_message, header, class_names))

    # Lifecycle.

    def activate(self) -> None:
        """Subscribe and start the worker."""
        self.reset()
        self._worker = NewestWorker(
            self._compute, lambda group: self.ledger.count_dropped('newer frame waiting')
        )
        # camera_info first: the executor then takes it before the images that came with it.
        infos = self._subscribe_infos()
        kind = Image if self.p.image_transport == 'raw' else CompressedImage
        inputs = {side: self._subscribe(kind, self._image_topic(side)) for side in self.SIDES}
        for side, source in inputs.items():
            source.registerCallback(self._note_arrival, side)
        self._pairs = PairFilter(self.pairer, inputs)
        self._pairs.registerCallback(self._take_group)
        self._subscriptions_made = [*inputs.values(), *infos]

    def deactivate(self) -> None:
        """Unsubscribe, then let the worker finish."""
        for subscriber in self._subscriptions_made:
            self.destroy_subscription(subscriber.sub)
        self._worker.stop()

    def cleanup(self) -> None:
        """Remove the publishers."""
        self._outputs = {}
        super().cleanup()

    def reset(self) -> None:
        """Forget what has been seen; done when the node becomes active."""
        self.ledger = Ledger()
        self.pairer = self.make_pairer()
        self.health = InputHealth(
            self.pairer,
            {side: self.resolve_topic_name(self._image_topic(side)) for side in self.SIDES},
        )
        self._cameras = self.cameras()
        self._last_taken: int | None = None
        self._epoch = 0
        self._superseded_before = 0
        self._wall_clock_age = ''

    def make_pairer(self) -> StampPairer:
        """Make what groups the images of SIDES."""
        return StampPairer(self.SIDES)

    def info_topics(self) -> dict[str, str]:
        """Topics of camera_info by side."""
        return {side: self.resolve_topic_name(f'{side}/camera_info') for side in self.SIDES}

    def _image_topic(self, side: str) -> str:
        base = f'{side}/image_raw' if self.p.rectify else f'{side}/image_rect'
        return base if self.p.image_transport == 'raw' else f'{base}/compressed'

    def _subscribe_infos(self) -> list[Subscriber]:
        if self._cameras is None:
            return []
        subscribers = []
        for side, topic in self._cameras.topics.items():
            subscribers.append(self._subscribe(CameraInfo, topic))
            subscribers[-1].registerCallback(self._cameras.take, side)
        return subscribers

    def _subscribe(self, kind: type, topic: str) -> Subscriber:
        return Subscriber(
            self,
            kind,
            topic,
            qos_profile=NEWEST,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    # Messages, in the executor's thread: nothing here takes long.

    def _note_arrival(self, message: Any, side: str) -> None:
        self.health.hear(side)

    def _take_group(self, *group: Arrival) -> None:
        self.ledger.count_pair()
        if not self.all_wanted():
            self.ledger.count_dropped('nobody subscribes')
        elif not self._advances_grid(stamp_of(group[0].message)):
            self.ledger.count_dropped('max_rate')
        else:
            self._worker.put(group)

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

    def _compute(self, group: tuple[Arrival, ...]) -> None:
        wanted = self.all_wanted()
        if not wanted:  # the last subscriber has left while the frame waited
            self.ledger.count_dropped('nobody subscribes')
            return
        try:
            frame = self._decode(group)
            self.process(frame, wanted)
        except ValueError as error:
            self._reject('input', str(error))
        except Exception as error:
            self._reject('internal', f'{type(error).__name__}: {error}')
            self.get_logger().debug(traceback.format_exc())
        else:
            now = self.get_clock().now().nanoseconds
            self._wall_clock_age = f'{(now - stamp_of(group[0].message)) / NANOSECONDS:.3f}'
            received = min(arrival.moment for arrival in group)
            frame.milliseconds['age'] = 1000 * (time.monotonic() - received)
            self.ledger.count_out(frame.milliseconds)

    def _reject(self, kind: str, reason: str) -> None:
        self.ledger.count_rejected(kind, reason)
        self.get_logger().error(f'frame rejected: {reason}', throttle_duration_sec=5.0)

    def _decode(self, group: tuple[Arrival, ...]) -> Frame:
        start = time.perf_counter()
        images = [
            self._decode_image(side, arrival.message)
            for side, arrival in zip(self.SIDES, group, strict=True)
        ]
        milliseconds = {'image': 1000 * (time.perf_counter() - start)}
        given = group[0].message.header
        header = Header(stamp=given.stamp, frame_id=self._frame_id(given.frame_id))
        return self.prepare(header, images, milliseconds)

    def _decode_image(self, side: str, message: Any) -> np.ndarray:
        decode = decode_image if self.p.image_transport == 'raw' else decode_compressed
        try:
            return decode(message)
        except ValueError as error:
            raise ValueError(f'{side} image: {error}') from error

    def _frame_id(self, given: str) -> str:
        given = self.p.frame_id or given
        if given.startswith('/'):
            self.get_logger().warning(
                f'frame_id "{given}" has a leading slash, which tf2 refuses; it is left out',
                once=True,
            )
        return given.lstrip('/')

    # Diagnostics.

    def diagnose(self) -> tuple[bytes, str, Mapping[str, str]]:
        """Counts and latencies; ERROR if no output can come, WARN when too slow."""
        values = {
            **self.health.counts(),
            'wall-clock age [s]': self._wall_clock_age,
            **self.details(),
            **self.ledger.summary(),
        }
        superseded = self.ledger.dropped['newer frame waiting']
        recent, self._superseded_before = superseded - self._superseded_before, superseded
        fault = self.health.fault()
        if (busy := self._worker.busy_seconds) > STUCK:
            return (
                DiagnosticStatus.ERROR,
                f'no output: one frame has been computed for {busy:.0f} s',
                values,
            )
        if fault:
            return DiagnosticStatus.ERROR, fault, values
        if self.ledger.seconds_since_rejection < 2.0:
            return DiagnosticStatus.ERROR, self.ledger.last_reason, values
        if recent > 0:
            return (
                DiagnosticStatus.WARN,
                f'slower than the input: {recent} frames dropped in the last second',
                values,
            )
        return DiagnosticStatus.OK, f'{self.ledger.rate():.1f} Hz', values
