"""What predictors return."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class StereoResult:
    """disparity: HxW float32, px of the given images (x_left - x_right), NaN where unknown.

    tool_mask: HxW uint8 class ids (0 tissue, 1 tool) or None where the model has no mask.
    disparity_range: least and greatest disparity that the model can find, px of these images.
    disparity_step: smallest difference between two disparities, px; 0 not quantised.
    milliseconds: time spent per stage.
    """

    disparity: np.ndarray
    tool_mask: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    disparity_range: tuple[float, float] | None = None
    disparity_step: float = 0.0
