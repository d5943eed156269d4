"""Evaluators of results, one per task, independent of the source of frames and results.

A frame is a sample of a dataset (datasets.kinds) with its truth, a result what a predictor or a
perception step returns (frames.results). Files, bags, weights and nodes are all brought into
this form, so that the same evaluator takes them, and a report works with each.
"""

import math
from collections.abc import Mapping
from typing import Protocol, TypeVar

import numpy as np

from surgseg_ros.evaluation.tables import Table

Frame = TypeVar('Frame', contravariant=True)
Result = TypeVar('Result', contravariant=True)


class Evaluator(Protocol[Frame, Result]):
    """Takes frame after frame; what it says is of all frames so far."""

    def add(self, frame: Frame, result: Result) -> None:
        """Judge one result; ValueError with the frame's name if the two do not fit."""

    def figures(self) -> dict[str, object]:
        """Figures by name, as JSON has them: None where nothing was counted.

        'protocol' and 'definition' say how they are defined, 'frames' how many there are. Raises
        ValueError without frames.
        """

    def table(self) -> Table:
        """The figures for people."""

    def pictures(self) -> dict[str, np.ndarray]:
        """Pictures for people by name, HxWx3 uint8 RGB each; empty unless requested."""


def without_nan(figures: Mapping[str, object]) -> dict[str, object]:
    """Figures, also nested in dicts and lists, as JSON has them: None for NaN."""
    return {key: _without_nan(value) for key, value in figures.items()}


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return without_nan(value)
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return value
