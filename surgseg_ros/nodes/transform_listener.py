"""Transforms of /tf and /tf_static: by tf2_ros where it is installed, else by our own buffer."""

import time
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from surgseg_ros.frames.foreign import printable
from surgseg_ros.geometry.transform_buffer import TransformBuffer, TransformError
from surgseg_ros.geometry.transforms import transform

try:
    import tf2_ros
except ImportError:
    tf2_ros = None

_WAIT = 0.01  # s between two looks


class TransformListener:
    """Listens from its creation on; lookups run outside of the executor's thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        if tf2_ros:
            self._buffer: Any = tf2_ros.Buffer()
            self._listener: Any = tf2_ros.TransformListener(self._buffer, node)
            return
        self._buffer = TransformBuffer()
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._listener = [
            node.create_subscription(TFMessage, '/tf', self._moving, QoSProfile(depth=100)),
            node.create_subscription(TFMessage, '/tf_static', self._static, latched),
        ]

    def close(self) -> None:
        """Stop listening."""
        if tf2_ros:
            self._listener.unregister()
            return
        for subscription in self._listener:
            self._node.destroy_subscription(subscription)

    def lookup(self, target: str, source: str, stamp: int, patience: float) -> np.ndarray:
        """4x4, target from source, at a stamp in ns; waits for `patience` seconds.

        Raises ValueError, in one sentence, where it is not known for that time.
        """
        end = time.monotonic() + patience
        while True:
            try:
                return self._now(target, source, stamp)
            except ValueError:
                if time.monotonic() > end:
                    raise
            time.sleep(_WAIT)

    def _now(self, target: str, source: str, stamp: int) -> np.ndarray:
        if not tf2_ros:
            return np.asarray(self._buffer.lookup(target, source, stamp))
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
        except tf2_ros.TransformException as error:
            raise TransformError(str(error)) from error
        at, turn = found.transform.translation, found.transform.rotation
        return transform(np.array([at.x, at.y, at.z]), np.array([turn.x, turn.y, turn.z, turn.w]))

    def _moving(self, message: TFMessage) -> None:
        self._take(message, False)

    def _static(self, message: TFMessage) -> None:
        self._take(message, True)

    def _take(self, message: TFMessage, static: bool) -> None:
        for one in message.transforms:
            at, turn = one.transform.translation, one.transform.rotation
            stamp = one.header.stamp.sec * 1_000_000_000 + one.header.stamp.nanosec
            try:
                self._buffer.add(
                    one.header.frame_id,
                    one.child_frame_id,
                    stamp,
                    np.array([at.x, at.y, at.z]),
                    np.array([turn.x, turn.y, turn.z, turn.w]),
                    static,
                )
            except ValueError as error:
                self._node.get_logger().warning(
                    printable(f'a transform is left out: {error}'), throttle_duration_sec=5.0
                )
