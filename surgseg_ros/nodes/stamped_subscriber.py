"""Subscriptions as filters whose messages all have increasing stamps."""

from collections.abc import Callable, Mapping
from copy import copy

from message_filters import Subscriber
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind
from rclpy.qos_overriding_options import QoSOverridingOptions

from surgseg_ros.nodes.managed_node import NEWEST
from surgseg_ros.rosdata.factory import Message
from surgseg_ros.rosdata.messages import NANOSECONDS, stamp_of
from surgseg_ros.streams.standing_stamps import StandingStamps

# QoS policies of a subscription that parameters may override
OVERRIDABLE = QoSOverridingOptions(
    (
        QoSPolicyKind.HISTORY,
        QoSPolicyKind.DEPTH,
        QoSPolicyKind.RELIABILITY,
        QoSPolicyKind.DURABILITY,
    )
)


class StampedSubscriber(Subscriber):
    """Where header stamps are 0 or stand still, the writer's source timestamp takes their place.

    note: called once with one sentence when that happens. Its QoS may be overridden by parameters.
    """

    def __init__(
        self, node: Node, kind: type, topic: str, note: Callable[[str], object], **options: object
    ) -> None:
        self._stamps, self._note, self._noted = StandingStamps(), note, False
        options.setdefault('qos_profile', copy(NEWEST))  # rclpy writes into it
        options.setdefault('qos_overriding_options', OVERRIDABLE)
        super().__init__(node, kind, topic, **options)

    def callback(self, msg: Message, info: Mapping[str, int]) -> None:
        """Pass a received message on."""
        stamp = self._stamps.of(stamp_of(msg), info['source_timestamp'])
        if self._stamps.standing:
            msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp, NANOSECONDS)
            self._say()
        self.signalMessage(msg)

    def _say(self) -> None:
        if not self._noted:
            self._noted = True
            self._note(
                f'the header stamps on {self.topic} stand still: the times at which the messages '
                'were sent take their place'
            )
