"""What predictors return."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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


@dataclass(frozen=True)
class SemanticResult:
    """labels: HxW uint8 class ids of the given image (0 background, 255 unlabelled).

    probabilities: CxHxW float32 in [0, 1], one plane per class id, or None where not asked for.
    class_names: by class id. milliseconds: time spent per stage. feature_age: by how many frames
    the features are older than the image. scores: quality per class id, where the model has them.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    feature_age: int = 0
    scores: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class InstanceResult:
    """N instances of the given image, the best first.

    class_ids: N int64, index into class_names (0 is background and never occurs). scores: N
    float32 in [0, 1]. boxes: N x 4 float32, x0 y0 x1 y1 px, x1 and y1 exclusive: the extent of
    the masks. masks: N x H x W bool; they may overlap. parts: N x H x W uint8 part ids inside
    the masks, or None where the model has none. milliseconds: time spent per stage. track_ids:
    N uint32, the same number over time, 0 not tracked; None as a predictor returns it.
    """

    class_ids: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    parts: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    track_ids: np.ndarray | None = None

    def best(self, count: int, score_threshold: float = 0.0) -> 'InstanceResult':
        """At most `count` instances, with at least this score."""
        kept = min(count, np.count_nonzero(self.scores >= score_threshold))
        arrays = {name: value[:kept] for name in (
            'class_ids', 'scores', 'boxes', 'masks', 'parts', 'track_ids')
            if (value := getattr(self, name)) is not None}
        return replace(self, **arrays)


def mask_boxes(masks: np.ndarray) -> np.ndarray:
    """Smallest boxes around masks n x H x W bool, none of them empty: see InstanceResult.boxes."""
    height, width = masks.shape[1:]
    rows, columns = masks.max(axis=2), masks.max(axis=1)
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right = width - columns[:, ::-1].argmax(axis=1)
    bottom = height - rows[:, ::-1].argmax(axis=1)
    return np.stack((left, top, right, bottom), axis=1).astype(np.float32)
