"""recorder_node: writes topics into a bag as they are, byte for byte, whatever their types."""

from collections.abc import Mapping
from typing import ClassVar

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from surgseg_ros.bags.writer import BagWriter
from surgseg_ros.nodes.managed_node import ManagedNode, run
from surgseg_ros.nodes.messages import message_type
from surgseg_ros.nodes.parameters import Parameter


class RecorderNode(ManagedNode):
    """Records `topics` from the moment they appear; the bag is whole once the node has ended."""

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ManagedNode.PARAMETERS,
        Parameter('bag', '', 'folder or .mcap / .db3 file to write; it must not exist'),
        Parameter('topics', [''], 'topics to record'),
        Parameter('overwrite', False, 'replace the bag if there is one'),
    )

    def __init__(self, **options: object) -> None:
        super().__init__('recorder', **options)

    def configure(self) -> None:
        """Open the bag."""
        self._topics = [self.resolve_topic_name(topic) for topic in self.p.topics if topic]
        if not self.p.bag or not self._topics:
            raise ValueError('parameters bag and topics say what to record where; both are needed')
        self._writer = BagWriter(self.p.bag, overwrite=self.p.overwrite)

    def activate(self) -> None:
        """Look for the topics, again and again: types are known only once somebody publishes."""
        self._recorded: dict[str, Subscription] = {}
        self._discovery = self.create_timer(0.05, self._subscribe_to_new)

    def deactivate(self) -> None:
        """Stop recording."""
        self.destroy_timer(self._discovery)
        for subscription in self._recorded.values():
            self.destroy_subscription(subscription)

    def cleanup(self) -> None:
        """Close the bag."""
        if hasattr(self, '_writer'):
            self._writer.close()

    def diagnose(self) -> tuple[bytes, str, Mapping[str, str]]:
        """Messages written."""
        count = str(self._writer.count)
        return DiagnosticStatus.OK, f'{count} messages', {'messages': count}

    def _subscribe_to_new(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            offers = self.get_publishers_info_by_topic(topic) if topic in self._topics else []
            if offers and topic not in self._recorded:
                latched = all(offer.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
                              for offer in offers)
                self._writer.add_topic(topic, types[0], latched)
                self._recorded[topic] = self._subscribe(topic, types[0], latched)

    def _subscribe(self, topic: str, type_name: str, latched: bool) -> Subscription:
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=durability)

        def write(data: bytes) -> None:
            now = self.get_clock().now().nanoseconds
            self._writer.write_raw(topic, type_name, data, now)

        return self.create_subscription(message_type(type_name), topic, write, qos, raw=True)


def main() -> int:
    """Run recorder_node."""
    return run(RecorderNode)


if __name__ == '__main__':
    raise SystemExit(main())
