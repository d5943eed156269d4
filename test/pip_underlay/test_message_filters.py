"""The stand-in for message_filters behaves as upstream's does, one exception apart."""

import random
from types import SimpleNamespace
from typing import Any

import message_filters
import pytest
from builtin_interfaces.msg import Time as TimeMessage
from message_filters import (
    ApproximateTimeSynchronizer,
    Cache,
    SimpleFilter,
    Subscriber,
    TimeSynchronizer,
)
from rclpy.clock import ClockType, ROSClock
from rclpy.duration import Duration
from rclpy.time import Time
from std_msgs.msg import Header, String


def at(seconds: float, name: object = None) -> Any:
    """A message with this stamp; hashable, as real messages are not."""
    stamp = TimeMessage(sec=int(seconds), nanosec=round(1e9 * (seconds % 1)))
    return SimpleNamespace(header=Header(stamp=stamp), name=name)


def moment(seconds: float) -> Time:
    """A time of the clock that stamps belong to."""
    return Time(seconds=seconds, clock_type=ClockType.ROS_TIME)


def gather(source: SimpleFilter) -> list[tuple[Any, ...]]:
    """What a filter puts out from now on."""
    groups: list[tuple[Any, ...]] = []
    source.registerCallback(lambda *group: groups.append(group))
    return groups


def synchronised(kind: Any, inputs: int, *options: Any, **named: Any) -> tuple[Any, list]:
    sources = [SimpleFilter() for _ in range(inputs)]
    made = kind(sources, *options, **named)
    return sources, gather(made)


def test_the_public_names_are_upstreams() -> None:
    assert set(message_filters.__all__) == {
        'SimpleFilter', 'Subscriber', 'Cache', 'TimeSynchronizer', 'ApproximateTimeSynchronizer'
    }  # fmt: skip


def test_callbacks_get_the_messages_and_then_their_own_arguments() -> None:
    source, seen = SimpleFilter(), []
    assert source.registerCallback(lambda *words: seen.append(words), 'mine', 7) == 0
    assert source.registerCallback(lambda *words: seen.append(words)) == 1
    source.signalMessage('a', 'b')
    assert seen == [('a', 'b', 'mine', 7), ('a', 'b')]


def test_a_subscriber_takes_what_create_subscription_takes_and_is_one_outwardly() -> None:
    made = {}

    def create(kind, topic, callback, **options):
        made.update(kind=kind, topic=topic, callback=callback, **options)
        return SimpleNamespace(topic_name='/ns/notes')

    subscriber = Subscriber(SimpleNamespace(create_subscription=create), String, 'notes')
    assert (made['kind'], made['topic'], made['qos_profile']) == (String, 'notes', 10)
    assert subscriber.getTopic() == 'notes' and subscriber.topic_name == '/ns/notes'
    heard = gather(subscriber)
    made['callback']('hello')
    assert heard == [('hello',)]
    with pytest.raises(AttributeError):
        subscriber.nothing  # noqa: B018


def test_a_cache_is_asked_for_times() -> None:
    source = SimpleFilter()
    cache = Cache(source, 5)
    passed = gather(cache)
    messages = [at(second) for second in range(5)]
    for message in messages:
        source.signalMessage(message)
    assert passed == [(message,) for message in messages]
    assert cache.getInterval(moment(2.5), moment(3.5)) == [messages[3]]
    assert cache.getInterval(moment(2), moment(3)) == messages[2:4]
    assert cache.getInterval(moment(0), moment(4)) == messages
    assert cache.getElemAfterTime(moment(0)) is messages[0]
    assert cache.getElemBeforeTime(moment(3.5)) is messages[3]
    assert cache.getElemAfterTime(moment(5)) is None
    assert cache.getLast() is messages[4]
    assert (cache.getOldestTime(), cache.getLastestTime()) == (moment(0), moment(4))
    source.signalMessage(at(5))
    assert cache.getOldestTime() == moment(1) and len(cache.cache_msgs) == 5
    with pytest.raises(AssertionError):
        cache.getInterval(moment(3), moment(2))


def test_an_empty_cache_has_nothing() -> None:
    cache = Cache(SimpleFilter(), 0)
    cache.add(at(1))
    found = (cache.getLast(), cache.getOldestTime(), cache.getLastestTime(), cache.getLatestTime())
    assert found == (None, None, None, None)


def test_headerless_messages_are_cached_only_when_that_is_allowed() -> None:
    beginning = Time(clock_type=ClockType.ROS_TIME)
    cache = Cache(SimpleFilter(), 5)
    cache.add(String())
    assert cache.getElemAfterTime(beginning) is None
    cache = Cache(SimpleFilter(), 5, allow_headerless=True)
    first, second = String(data='1'), String(data='2')
    cache.add(first)
    between = ROSClock().now()
    assert cache.getElemAfterTime(beginning) is first
    assert cache.getElemAfterTime(between) is None
    cache.add(second)
    assert cache.getInterval(beginning, between) == [first]
    assert cache.getInterval(beginning, between + Duration(seconds=99)) == [first, second]


@pytest.mark.parametrize(
    ('kind', 'options'), [(TimeSynchronizer, ()), (ApproximateTimeSynchronizer, (0.1,))]
)
@pytest.mark.parametrize('count', range(1, 10))
def test_scrambled_sequences_are_put_together(kind: Any, options: Any, count: int) -> None:
    shuffle = random.Random(count).sample
    (left, right), groups = synchronised(kind, 2, count, *options)
    lefts, rights = ([at(second, name) for second in range(count)] for name in 'lr')
    for message in shuffle(lefts, count):
        left.signalMessage(message)
    assert not groups
    for message in shuffle(rights, count):
        right.signalMessage(message)
    pairs = sorted(groups, key=lambda group: group[0].header.stamp.sec)
    assert pairs == list(zip(lefts, rights, strict=True))


def test_stamps_have_to_be_equal_or_near() -> None:
    for kind, options, offset, expected in (
        (TimeSynchronizer, (), 0.001, 0),
        (ApproximateTimeSynchronizer, (0.1,), 0.05, 1),
        (ApproximateTimeSynchronizer, (0.1,), 0.2, 0),
        (ApproximateTimeSynchronizer, (0.1,), 0.1, 0),  # less than slop, not equal
    ):
        (left, right), groups = synchronised(kind, 2, 10, *options)
        left.signalMessage(at(1))
        right.signalMessage(at(1 + offset))
        assert len(groups) == expected, (kind, offset)


def test_the_nearest_message_is_taken_and_each_only_once() -> None:
    (left, right), groups = synchronised(ApproximateTimeSynchronizer, 2, 10, 1.0)
    far, near = at(1.0, 'far'), at(1.6, 'near')
    left.signalMessage(far)
    left.signalMessage(near)
    first, second = at(1.5), at(1.7)
    right.signalMessage(first)
    assert groups == [(near, first)]
    right.signalMessage(second)
    assert groups == [(near, first), (far, second)]


def test_all_messages_of_a_group_are_near_each_other() -> None:
    sources, groups = synchronised(ApproximateTimeSynchronizer, 3, 10, 0.1)
    sources[0].signalMessage(at(1.00))
    sources[1].signalMessage(at(1.14))
    sources[2].signalMessage(at(1.07))  # near both, but these are not near each other
    assert not groups
    sources[1].signalMessage(at(1.08))
    assert len(groups) == 1


def test_a_full_queue_forgets_the_oldest_stamp() -> None:
    for kind, options in ((TimeSynchronizer, ()), (ApproximateTimeSynchronizer, (0.1,))):
        (left, right), groups = synchronised(kind, 2, 2, *options)
        for second in (3, 1, 2):  # 1 is the oldest, though it did not come first
            left.signalMessage(at(second))
        for second in (1, 2, 3):
            right.signalMessage(at(second))
        assert [group[0].header.stamp.sec for group in groups] == [2, 3], kind


def test_an_old_message_has_no_place_in_a_full_queue() -> None:
    (left, right), groups = synchronised(ApproximateTimeSynchronizer, 2, 1, 0.1)
    right.signalMessage(at(1))
    left.signalMessage(at(5))
    left.signalMessage(at(1))
    assert not groups


def test_headerless_messages_are_synchronised_by_their_arrival_if_allowed() -> None:
    (left, right), groups = synchronised(ApproximateTimeSynchronizer, 2, 5, 60.0)
    left.signalMessage(String())
    right.signalMessage(String())
    assert not groups
    (left, right), groups = synchronised(
        ApproximateTimeSynchronizer, 2, 5, 60.0, allow_headerless=True
    )
    stamped = SimpleNamespace(header=Header(stamp=ROSClock().now().to_msg()))
    left.signalMessage(stamped)
    right.signalMessage(note := String())
    assert groups == [(stamped, note)]


def test_arrival_may_count_instead_of_stamps() -> None:
    (left, right), groups = synchronised(
        ApproximateTimeSynchronizer, 2, 5, 60.0, sync_arrival_time=True
    )
    one, other = at(1), at(1000)
    left.signalMessage(one)
    right.signalMessage(other)
    assert groups == [(one, other)]


def test_after_an_exception_in_a_callback_the_next_messages_are_taken() -> None:
    """Upstream keeps its lock, so that the next message waits for ever."""
    for kind, options in ((TimeSynchronizer, ()), (ApproximateTimeSynchronizer, (0.1,))):
        left, right = sources = [SimpleFilter(), SimpleFilter()]
        synchroniser = kind(sources, 5, *options)
        synchroniser.registerCallback(lambda *group: 1 / 0)
        left.signalMessage(at(1))
        with pytest.raises(ZeroDivisionError):
            right.signalMessage(at(1))
        assert not synchroniser.lock.locked()
        left.signalMessage(at(2))
        with pytest.raises(ZeroDivisionError):
            right.signalMessage(at(2))
