"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from surgseg_ros.training.recipe import Schedule


def learning_rate_factor(schedule: Schedule, step: int, steps_per_epoch: int) -> float:
    """Factor of the recipe's learning rate at `step`, counted from 0."""
    warm = min((step + 1) / schedule.warmup_steps, 1.0) if schedule.warmup_steps else 1.0
    warm = schedule.warmup_start + (1 - schedule.warmup_start) * warm
    if schedule.name == 'step':
        epoch, at = step // steps_per_epoch, schedule.at
        return warm * schedule.gamma ** (
            sum(epoch >= one for one in at) if at else epoch // schedule.every
        )
    if schedule.name == 'cosine':
        done = step / (schedule.epochs * steps_per_epoch)
        return warm * (schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * done)) / 2)
    return warm
