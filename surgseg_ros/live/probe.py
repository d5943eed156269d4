"""A node in this process that subscribes, publishes, and calls services of a running graph."""

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import rclpy
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from surgseg_ros.nodes.messages import message_type
from surgseg_ros.rosdata.factory import Message

T = TypeVar('T')
Take = Callable[[Message], None]

# s; failures are reported at once, and a busy machine may take minutes
PATIENCE = 300.0


def wait_until(
    condition: Callable[[], T],
    what: str | Callable[[], str],
    timeout: float = PATIENCE,
    check: Callable[[], object] = lambda: None,
) -> T:
    """Wait until condition() is truthy and return it; ValueError after `timeout`, s.

    what: the sentence before 'within ... s'. check: called meanwhile; may raise.
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        check()
        if time.monotonic() > deadline:
            raise ValueError(f'{what() if callable(what) else what} within {timeout:g} s')
        time.sleep(0.02)
    return result


class Probe:
    """A ROS node with a context and a thread of its own; a context manager.

    The ROS domain is the one of the environment. node: for everything that has no method here.
    """

    def __init__(self, name: str = 'probe', namespace: str = '') -> None:
        self._context = Context()
        rclpy.init(args=[], context=self._context)  # the command line is not ROS's
        self.node = rclpy.create_node(name, context=self._context, namespace=namespace)
        self._publishers: dict[str, Publisher] = {}
        self._clients: dict[str, Client] = {}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)
        self._thread.start()

    def listen(
        self,
        topic: str,
        type_name: str,
        take: Take = lambda message: None,
        *,
        latched: bool = False,
        depth: int = 200,
        raw: bool = False,
    ) -> None:
        """Call take(message), or its CDR bytes if `raw`, in the probe's thread; reliable."""
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(
            depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability
        )
        self.node.create_subscription(message_type(type_name), topic, take, qos, raw=raw)

    def publish(self, topic: str, message: object) -> None:
        """Publish a message, the first of a topic as soon as somebody subscribes to it."""
        if topic not in self._publishers:
            publisher = self.node.create_publisher(type(message), topic, 1)
            self._publishers[topic] = publisher
            wait_until(publisher.get_subscription_count, f'nobody subscribed to {topic}')
        self._publishers[topic].publish(message)

    def call(
        self, kind: Any, service: str, timeout: float = PATIENCE, **fields: object
    ) -> Message:
        """Call a service and return its response; ValueError if none comes in `timeout`, s."""
        if service not in self._clients:
            client = self._clients[service] = self.node.create_client(kind, service)
            wait_until(client.service_is_ready, f'there was no {service}', timeout)
            time.sleep(0.5)  # until the service knows where to send its answers
        future = self._clients[service].call_async(kind.Request(**fields))
        wait_until(future.done, f'{service} did not answer', timeout)
        response: Message = future.result()
        return response

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def __enter__(self) -> 'Probe':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()
