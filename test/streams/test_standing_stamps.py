"""Cameras that set no stamps, and those that send a frame again."""

from surgseg_ros.streams.standing_stamps import REPEATS, StandingStamps


def test_zero_is_no_stamp() -> None:
    stamps = StandingStamps()
    assert [stamps.of(0, written) for written in (5, 9, 12)] == [5, 9, 12]
    assert stamps.standing and stamps.of(20, 30) == 20 and not stamps.standing


def test_a_stamp_that_stands_still() -> None:
    stamps = StandingStamps()
    given = [stamps.of(7, 100 + i) for i in range(REPEATS + 3)]
    assert given == [7] * REPEATS + [100 + i for i in range(REPEATS, REPEATS + 3)]
    assert stamps.of(8, 200) == 8


def test_a_frame_sent_again_keeps_its_stamp() -> None:
    stamps = StandingStamps()
    assert [stamps.of(stamp, 100) for stamp in (7, 7, 7, 8, 8, 9)] == [7, 7, 7, 8, 8, 9]


def test_without_the_writers_time_nothing_is_replaced() -> None:
    assert StandingStamps().of(0, 0) == 0
