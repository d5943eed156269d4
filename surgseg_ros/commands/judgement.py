"""What evaluating comes to on the command line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from surgseg_ros.evaluation.evaluators import Evaluator, Frame, Result
from surgseg_ros.evaluation.tables import Table


@dataclass(frozen=True)
class Judgement:
    """figures: for JSON. table: for people, CSV and LaTeX. pictures: by name.

    notes: lines above the table. more: tables for people alone.
    """

    figures: Mapping[str, object]
    table: Table
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    more: tuple[Table, ...] = ()


def judge(evaluator: Evaluator[Frame, Result], pairs: Iterable[tuple[Frame, Result]]) -> Judgement:
    """Give an evaluator all pairs of frames and results."""
    for frame, result in pairs:
        evaluator.add(frame, result)
    figures = evaluator.figures()
    notes = f'{figures["frames"]} frames; protocol {figures["protocol"]}: {figures["definition"]}'
    return Judgement(figures, evaluator.table(), evaluator.pictures(), (notes,))
