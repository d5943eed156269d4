"""What is said of slow and silent sources, of rates, and of stamps that are no wall clock."""

import pytest

from surgseg_ros.streams import input_health, ledger
from surgseg_ros.streams.input_health import InputHealth
from surgseg_ros.streams.ledger import Ledger, wall_clock_age
from surgseg_ros.streams.pairing import StampPairer


class Clock:
    """Stands in for the module `time`; it goes on when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(input_health, 'time', made)
    monkeypatch.setattr(ledger, 'time', made)
    return made


def faults(clock: Clock, health: InputHealth, interval: float, count: int) -> list[str]:
    """What is said ten times a second while images come at this interval."""
    said = []
    for _ in range(count):
        health.hear('left')
        for _ in range(round(10 * interval)):
            clock.now += 0.1
            said.append(health.fault())
    return said


@pytest.mark.parametrize('interval', [0.1, 0.9, 2.0, 4.0])
def test_a_slow_source_is_no_fault(clock: Clock, interval: float) -> None:
    health = InputHealth(StampPairer(('left',)), {'left': '/left'})
    assert not health.begun
    assert not any(faults(clock, health, interval, 8))
    assert health.begun


@pytest.mark.parametrize(('interval', 'pause'), [(0.03, 1.0), (0.2, 1.0), (2.0, 6.0)])
def test_silence_is_judged_by_the_usual_interval(
    clock: Clock, interval: float, pause: float
) -> None:
    health = InputHealth(StampPairer(('left',)), {'left': '/left'})
    for _ in range(8):
        health.hear('left')
        clock.now += interval
    clock.now += pause - interval - 0.05
    assert not health.fault()
    clock.now += 0.1
    assert health.fault() == 'no image on /left'
    health.hear('left')  # one pause does not make the source a slow one
    clock.now += max(1.0, pause) + 0.1
    assert health.fault() == 'no image on /left'


def test_nothing_at_all_is_a_fault_a_while_after_the_start(clock: Clock) -> None:
    health = InputHealth(StampPairer(('left',)), {'left': '/left'})
    clock.now += 5.9
    assert not health.fault()
    clock.now += 0.2
    assert health.fault() == 'no image on /left'
    assert not health.begun


@pytest.mark.parametrize('rate', [0.1, 0.5, 1.0, 30.0])
def test_the_rate_is_that_of_the_source_however_slow(clock: Clock, rate: float) -> None:
    book = Ledger()
    assert (book.rate(), book.headline()) == (0.0, '0 out')
    for _ in range(30):
        clock.now += 1 / rate
        book.count_out({})
    assert book.rate() == pytest.approx(rate)
    assert book.headline() == f'{rate:.1f} Hz'
    clock.now += max(5.0, 3 / rate) + 0.1
    assert (book.rate(), book.headline()) == (0.0, '30 out')


@pytest.mark.parametrize(
    ('stamp', 'age'),
    [
        (1_700_000_000_000_000_000, '0.250'),  # a camera that runs
        (1_700_000_000_500_000_000, '-0.250'),  # its clock is ahead
        (0, ''),  # a simulator
        (1_600_000_000_000_000_000, ''),  # a recording
        (1_800_000_000_000_000_000, ''),
    ],
)
def test_an_age_is_only_told_of_stamps_of_the_wall_clock(stamp: int, age: str) -> None:
    assert wall_clock_age(stamp, 1_700_000_000_250_000_000) == age
