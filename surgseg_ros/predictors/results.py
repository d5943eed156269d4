"""What predictors return."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
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
    the masks. masks: N x H x W bool; they may overlap. parts: N x H x W uint8, values of
    parts.Part: NONE where the mask is not, or None where no model tells parts
    (see predictors/parts). milliseconds: time spent per stage. track_ids:
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
    corners = np.zeros((len(masks), 4), np.float32)
    for corner, mask in zip(corners, masks, strict=True):
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        corner[:] = left, top, left + width, top + height
    return corners
