"""Progress of a run: saved beside the tensors, and the source of the logs."""

import math
from dataclasses import dataclass, field

from surgseg_ros.training.recipe import Evaluation

Row = dict[str, float]


@dataclass
class Progress:
    """Of one run, the same in every process.

    step: optimiser steps done. seconds: trained, over all resumed runs. rows: one per epoch, with
    the means of the losses and, where it was validated, the metrics. ended: why, once it has.
    """

    step: int = 0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best: Row | None = None
    ended: str = ''

    def note(self, row: Row, wanted: Evaluation) -> bool:
        """Add an epoch's row; True if it is the best so far."""
        self.rows.append(row)
        value = row.get(wanted.metric)
        if value is None or math.isnan(value):
            return False
        sign = 1 if wanted.mode == 'max' else -1
        if self.best is not None and sign * value <= sign * self.best[wanted.metric]:
            return False
        self.best = row
        return True

    def epochs_since_best(self) -> int:
        """Epochs since the best row, or all epochs before the first."""
        return len(self.rows) - int(self.best['epoch'] if self.best else 0)
