"""The subscriptions of a node's inputs: paired, monitored and combined into frames."""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy

from message_filters import Subscriber
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo

from surgseg_ros.frames.foreign import printable
from surgseg_ros.nodes.cameras import Cameras
from surgseg_ros.nodes.clocks import steady_timer
from surgseg_ros.nodes.managed_node import LATCHED, NEWEST, ManagedNode
from surgseg_ros.nodes.stamped_subscriber import OVERRIDABLE, StampedSubscriber
from surgseg_ros.nodes.stream import ImageInput, Input
from surgseg_ros.nodes.stream_frames import Arrival, FrameMaker, PairFilter
from surgseg_ros.rosdata.messages import NANOSECONDS
from surgseg_ros.streams.input_health import InputHealth
from surgseg_ros.streams.pairing import StampPairer

SIDES = ('left', 'right')
_SEEK = 0.2  # s


class Inputs:
    """Subscribes to inputs, and to camera_info of the sides `cameras`, until close().

    take: called with the arrivals of each group that pairs. pairer, health, frames: what counts,
    watches and decodes them.
    """

    def __init__(
        self,
        node: ManagedNode,
        inputs: Sequence[Input[object]],
        cameras: Collection[str],
        take: Callable[..., None],
    ) -> None:
        self._node, self._inputs = node, tuple(inputs)
        topics = {one.name: node.resolve_topic_name(one.topic(node.p)) for one in inputs}
        self.pairer: StampPairer[Arrival] = StampPairer(
            tuple(topics), _tolerance(node), optional=[one.name for one in inputs if one.optional]
        )
        images = all(isinstance(one, ImageInput) for one in inputs)
        required = {name: topics[name] for name in self.pairer.required}
        self.health = InputHealth(self.pairer, required, 'image' if images else 'message')
        self.frames = FrameMaker(self._inputs, node.p, self._cameras(cameras), self._warn)
        self._subscribers: list[Subscriber] = []
        self._subscribe_cameras()
        self._subscribers += self._subscribe(topics, take)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._seeking)
        for one in self._subscribers:
            self._node.destroy_subscription(one.sub)

    def _cameras(self, always: Collection[str]) -> Cameras:
        """Of those sides, and of the images that have to be rectified."""
        node, names = self._node, [one.name for one in self._inputs]
        needed = [side for side in SIDES if side in always or (node.p.rectify and side in names)]
        topics = {side: node.resolve_topic_name(f'{side}/camera_info') for side in needed}
        self._kept = Cameras(topics, node.p.rectify, self._warn)
        return self._kept

    def _subscribe_cameras(self) -> None:
        """First: the executor then takes camera_info before the images that came with it."""
        qos = copy(NEWEST)  # rclpy writes into it
        for side, topic in self._kept.topics.items():
            self._subscribe_camera(side, topic, qos, qos_overriding_options=OVERRIDABLE)
        self._unlatched = dict(self._kept.topics)
        self._seeking = steady_timer(self._node, _SEEK, self._seek_latched)

    def _subscribe_camera(
        self, side: str, topic: str, qos: QoSProfile, **options: QoSOverridingOptions
    ) -> None:
        one = Subscriber(self._node, CameraInfo, topic, qos_profile=qos, **options)
        one.registerCallback(self._kept.take, side)
        self._subscribers.append(one)

    def _seek_latched(self) -> None:
        """Also subscribe as transient_local, which a latched camera_info requires.

        Such a subscription receives nothing else, so it is made only while no camera_info arrives.
        """
        for side, topic in list(self._unlatched.items()):
            offers = self._node.get_publishers_info_by_topic(topic)
            latched = [one.qos_profile.durability == LATCHED.durability for one in offers]
            if any(latched) or self._kept.knows(side):
                del self._unlatched[side]
            if any(latched):
                self._subscribe_camera(side, topic, copy(LATCHED))
        if not self._unlatched:
            self._node.destroy_timer(self._seeking)

    def _subscribe(self, topics: Mapping[str, str], take: Callable[..., None]) -> list[Subscriber]:
        node = self._node
        sources = {
            one.name: StampedSubscriber(
                node, one.received(node.p)[0], topics[one.name], self._warn
            )
            for one in self._inputs
        }
        for name, source in sources.items():
            source.registerCallback(self._hear, name)
        self._pairs = PairFilter(self.pairer, sources)
        self._pairs.registerCallback(take)
        return list(sources.values())

    def _warn(self, sentence: str) -> None:
        self._node.get_logger().warning(printable(sentence))

    def _hear(self, message: object, name: str) -> None:
        self.health.hear(name)


def _tolerance(node: ManagedNode) -> int | None:
    """Largest difference of stamps that pair, ns; None is half a frame period."""
    difference = getattr(node.p, 'max_stamp_difference', 0.0)
    return None if difference < 0 else round(difference * NANOSECONDS)
