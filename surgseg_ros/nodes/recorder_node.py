"""recorder_node: writes topics into a bag as they are, byte for byte, whatever their types."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from surgseg_ros.bags.writer import BagWriter
from surgseg_ros.frames.foreign import printable
from surgseg_ros.nodes.clocks import clock_fault, steady_timer
from surgseg_ros.nodes.managed_node import ManagedNode, run
from surgseg_ros.nodes.messages import message_type
from surgseg_ros.nodes.parameters import Parameter


class RecorderNode(ManagedNode):
    """Records `topics` from the moment they appear; the bag is whole once the node has ended.

    A topic that cannot be recorded is left out, and a disk that cannot be written ends the
    recording: the log and the diagnostics say so, and the exit code is 1.
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ManagedNode.PARAMETERS,
        Parameter(
            'bag', '', 'folder or .mcap / .db3 file to write; it must not exist', fixed=True
        ),
        Parameter('topics', [''], 'topics to record'),
        Parameter('overwrite', False, 'replace the bag if there is one', fixed=True),
    )

    def __init__(self, **options: object) -> None:
        super().__init__('recorder', **options)
        self._writer: BagWriter | None = None
        self._incomplete = False

    @property
    def failed(self) -> bool:
        """Also whether something is missing in the bag."""
        return self._incomplete or super().failed

    # Lifecycle.

    def configure(self) -> None:
        """Open the bag."""
        self._topics = [self.resolve_topic_name(topic) for topic in self.p.topics if topic]
        if not self.p.bag or not self._topics:
            raise ValueError('parameters bag and topics say what to record where; both are needed')
        self._writer = BagWriter(self.p.bag, overwrite=self.p.overwrite)
        self._announced: set[str] = set()  # in the bag, whatever is deactivated meanwhile
        self._incomplete = False

    def activate(self) -> None:
        """Look for topics periodically: types are known only once there is a publisher."""
        if not self._writer:
            raise OSError(f'{self.p.bag} could not be written: clean up and configure again')
        self._awaited = set(self._topics)
        self._recorded: dict[str, Subscription] = {}
        self._discovery = steady_timer(self, 0.05, self._subscribe_to_new)

    def deactivate(self) -> None:
        """Stop recording."""
        self.destroy_timer(self._discovery)
        for subscription in self._recorded.values():
            self.destroy_subscription(subscription)
        self._recorded.clear()
        self._awaited.clear()

    def cleanup(self) -> None:
        """Close the bag."""
        if self._writer:
            self._writer.close()
        super().cleanup()

    def diagnose(self) -> tuple[bytes, str, Mapping[str, str]]:
        """Messages written."""
        count = str(self._writer.count if self._writer else 0)
        if fault := clock_fault(self):
            sentence = f'{fault}: messages are recorded with the time of this machine'
            return DiagnosticStatus.WARN, sentence, {'messages': count}
        return DiagnosticStatus.OK, f'{count} messages', {'messages': count}

    # Recording.

    def _subscribe_to_new(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            offers = self.get_publishers_info_by_topic(topic) if topic in self._awaited else []
            if offers:
                self._awaited.remove(topic)
                with self._giving_up(topic):
                    self._subscribe(topic, types[0], [offer.qos_profile for offer in offers])

    def _subscribe(self, topic: str, type_name: str, offers: list[QoSProfile]) -> None:
        """Request a QoS that every publisher offers, so that all of them are received."""
        reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offers)
        latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offers)
        wanted = QoSProfile(
            depth=20,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        kind = message_type(type_name)  # before the bag gets a topic that cannot be received
        if self._writer and topic not in self._announced:
            self._writer.add_topic(topic, type_name, latched)
            self._announced.add(topic)
        self._recorded[topic] = self.create_subscription(
            kind, topic, partial(self._write, topic, type_name), wanted, raw=True
        )

    def _write(self, topic: str, type_name: str, data: bytes) -> None:
        now = self.get_clock().now().nanoseconds or time.time_ns()  # no /clock comes
        with self._giving_up(topic):
            if self._writer:
                self._writer.write_raw(topic, type_name, data, now)

    @contextmanager
    def _giving_up(self, topic: str) -> Iterator[None]:
        """Continue after an error, without this topic, or without any if the disk is at fault."""
        try:
            yield
        except (ValueError, ImportError) as error:
            self._report(f'{topic} is not recorded: {error}')
            if topic in self._recorded:
                self.destroy_subscription(self._recorded.pop(topic))
        except OSError as error:
            self._report(f'the recording has ended: {error}')
            self.deactivate()
            self._writer = None  # not closed, so that an incomplete bag does not look complete

    def _report(self, fault: str) -> None:
        self._fault = fault
        self._incomplete = True
        self.get_logger().error(printable(fault))


def main() -> int:
    """Run recorder_node."""
    return run(RecorderNode)


if __name__ == '__main__':
    raise SystemExit(main())
