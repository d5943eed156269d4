"""A stand-in for message_filters, with upstream's public Python interface.

It is part of surgseg_ros, for machines without a ROS installation. Filters pass messages on to
callbacks; a Subscriber begins a chain, Cache and the synchronisers continue it. Where upstream
stays locked after an exception in a callback, this goes on with the next message.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

__all__ = [
    'ApproximateTimeSynchronizer',
    'Cache',
    'SimpleFilter',
    'Subscriber',
    'TimeSynchronizer',
]


class SimpleFilter:
    """Passes each message (or group of messages) on to the registered callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call `cb(*messages, *args)` for every output; return the connection's number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Give `msg` to every callback."""
        for callback, args in list(self.callbacks.values()):
            callback(*msg, *args)


class Subscriber(SimpleFilter):
    """A subscription as a filter; takes (node, message type, topic, **create_subscription's).

    What it has no attribute of its own for, e.g. `destroy`, is the subscription's.
    """

    def __init__(self, node: Any, msg_type: Any, topic: str, **kwargs: Any) -> None:
        super().__init__()
        self.node = node
        self.topic = topic
        kwargs.setdefault('qos_profile', 10)
        self.sub = node.create_subscription(msg_type, topic, self.callback, **kwargs)

    def callback(self, msg: Any) -> None:
        """Pass a received message on."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """Return the topic as given."""
        return self.topic

    def __getattr__(self, key: str) -> Any:
        if key == 'sub':  # not made yet
            raise AttributeError(key)
        return getattr(self.sub, key)


class Cache(SimpleFilter):
    """Keeps the newest `cache_size` messages of a filter, and passes them on.

    allow_headerless: messages without header.stamp are kept, too, at the time they arrive;
    otherwise they are left out with a warning.
    """

    def __init__(
        self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False
    ) -> None:
        super().__init__()
        self.cache_size = cache_size
        self.allow_headerless = allow_headerless
        self.cache_msgs: list[Any] = []  # in the order of arrival
        self.cache_times: list[Time] = []
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:
        """Take what a filter puts out."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Keep a message and pass it on."""
        time = _time_of(msg, self.allow_headerless, 'message_filters_cache')
        if time is None:
            return
        self.cache_msgs.append(msg)
        self.cache_times.append(time)
        excess = max(0, len(self.cache_msgs) - self.cache_size)
        del self.cache_msgs[:excess], self.cache_times[:excess]
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """Messages from `from_stamp` to `to_stamp`, both included."""
        assert from_stamp <= to_stamp, 'the interval ends before it begins'
        return [msg for msg, time in self._entries() if from_stamp <= time <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:
        """First message that is not older than `stamp`, or None."""
        return next((msg for msg, time in self._entries() if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:
        """Last message that is not newer than `stamp`, or None."""
        return next((msg for msg, time in reversed(self._entries()) if time <= stamp), None)

    def getLastestTime(self) -> Time | None:
        """Time of the message that came last, or None. (The name is upstream's.)"""
        return self.cache_times[-1] if self.cache_times else None

    def getLatestTime(self) -> Time | None:
        """Time of the message that came last, or None."""
        return self.getLastestTime()

    def getOldestTime(self) -> Time | None:
        """Time of the message that came first of those that are kept, or None."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any:
        """First message that is as new as the one that came last, or None."""
        latest = self.getLastestTime()
        return None if latest is None else self.getElemAfterTime(latest)

    def _entries(self) -> list[tuple[Any, Time]]:
        return list(zip(self.cache_msgs, self.cache_times, strict=True))


class TimeSynchronizer(SimpleFilter):
    """Puts out groups of messages, one of each input, whose stamps are equal.

    queue_size: messages kept of each input; the one with the oldest stamp goes first.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Take what these filters put out."""
        self.queues: list[dict[int, Any]] = [{} for _ in fs]  # messages by their time, ns
        self.input_connections = [
            source.registerCallback(self.add, queue, index)
            for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take a message of one input and put out the groups that it completes."""
        with self.lock:
            self._keep(msg, my_queue, Time.from_msg(msg.header.stamp).nanoseconds)
            for moment in sorted(set.intersection(*map(set, self.queues))):
                self._put_out([moment] * len(self.queues))

    def _keep(self, msg: Any, queue: dict[int, Any], moment: int) -> None:
        queue[moment] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _put_out(self, moments: Iterable[int]) -> None:
        """Pass on the messages of these times, one per queue; they are gone from the queues."""
        pairs = zip(self.queues, moments, strict=True)
        self.signalMessage(*[queue.pop(moment) for queue, moment in pairs])


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Puts out groups of messages, one of each input, whose times differ by less than `slop`, s.

    allow_headerless: messages without header.stamp have the time at which they arrive; otherwise
    they are left out with a warning. sync_arrival_time: all messages have.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        sync_arrival_time: bool = False,
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        self.sync_arrival_time = sync_arrival_time

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take a message of one input and put out the nearest group that it completes."""
        time = _time_of(msg, self.allow_headerless, 'message_filters_approx')
        if time is None:
            return
        moment = ROSClock().now().nanoseconds if self.sync_arrival_time else time.nanoseconds
        with self.lock:
            self._keep(msg, my_queue, moment)
            group = self._group(moment, my_queue)
            if group:
                self._put_out(group)

    def _group(self, moment: int, mine: dict[int, Any]) -> tuple[int, ...] | None:
        """Times of the group around a message, one per queue, nearest first; None without one."""
        if moment not in mine:  # older than all that the queue has room for
            return None
        slop = self.slop.nanoseconds
        near = [
            [moment]
            if queue is mine
            else sorted(
                (other for other in queue if abs(other - moment) <= slop),
                key=lambda other: abs(other - moment),
            )
            for queue in self.queues
        ]
        groups = itertools.product(*near)
        return next((group for group in groups if max(group) - min(group) < slop), None)


def _time_of(msg: Any, allow_headerless: bool, logger: str) -> Time | None:
    """Time of a message: its stamp, else now if that is allowed, else None with a warning."""
    stamp = getattr(getattr(msg, 'header', None), 'stamp', None)
    if stamp is not None:
        return stamp if hasattr(stamp, 'nanoseconds') else Time.from_msg(stamp)
    if allow_headerless:
        return ROSClock().now()
    get_logger(logger).warning(
        f'a {type(msg).__name__} without header.stamp is left out; allow_headerless=True takes it '
        'at the time it arrives'
    )
    return None
