"""The learning rate by its step."""

import pytest

from surgseg_ros.training.recipe import Schedule
from surgseg_ros.training.schedule import learning_rate_factor


def test_steps_after_given_epochs() -> None:
    schedule = Schedule(epochs=36, name='step', at=(27, 33), gamma=0.1, every=1)
    factors = [learning_rate_factor(schedule, 10 * epoch, 10) for epoch in (0, 26, 27, 32, 33, 35)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert learning_rate_factor(schedule, 269, 10) == 1


def test_warm_up_from_a_third() -> None:
    schedule = Schedule(epochs=1, warmup_steps=4, warmup_start=1 / 3)
    factors = [learning_rate_factor(schedule, step, 100) for step in range(5)]
    assert factors == pytest.approx([1 / 2, 2 / 3, 5 / 6, 1, 1])
    assert learning_rate_factor(Schedule(epochs=1, warmup_start=0.5), 0, 10) == 1
