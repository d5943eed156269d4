"""The publishers of a node's outputs: which are wanted, and what is made for them."""

import time
from collections.abc import Collection, Sequence

from rclpy.publisher import Publisher
from vision_msgs.msg import LabelInfo

from surgseg_ros.nodes.managed_node import LATCHED, ManagedNode
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.stream import Frame, Output
from surgseg_ros.rosdata import messages


class Outputs:
    """Publishes the outputs of a node; its class names go out at once where ids need them."""

    def __init__(
        self, node: ManagedNode, outputs: Sequence[Output], class_names: Sequence[str]
    ) -> None:
        self._p = node.p
        self._publishers: list[tuple[Output, Publisher]] = [
            (output, node.publisher(output.type, output.topic, output.qos)) for output in outputs
        ]
        for output in outputs:
            if output.labelled:
                self._announce(node, output.topic, class_names)

    def wanted(self) -> list[str]:
        """Names of the outputs that are enabled and have a subscriber."""
        enabled = self._p.outputs
        wanted = [
            output.name
            for output, publisher in self._publishers
            if output.name in enabled and publisher.get_subscription_count() > 0
        ]
        return list(dict.fromkeys(wanted))

    def publish(self, wanted: Collection[str], frame: Frame, result: object) -> None:
        """Make and publish the messages of these outputs, and time it."""
        start = time.perf_counter()
        for output, publisher in self._publishers:
            if output.name in wanted and publisher.get_subscription_count() > 0:
                message = output.make(frame, result, self._p)
                if message is not None:
                    publisher.publish(message)
        frame.milliseconds['publish'] = 1000 * (time.perf_counter() - start)

    def _announce(self, node: ManagedNode, topic: str, class_names: Sequence[str]) -> None:
        publisher = node.publisher(LabelInfo, f'{topic}/label_info', LATCHED)
        header = messages.header(make_message, node.get_clock().now().nanoseconds, '')
        publisher.publish(messages.label_info(make_message, header, class_names))
