"""What predictors return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

# IoU above which two instances are one instrument: tools that cross overlap less
MAX_OVERLAP = 0.6
_INSIDE = 0.8  # share of an instance inside another from which it counts as a piece of that one


@dataclass(frozen=True)
class StereoResult:
    """disparity: HxW float32, px of the given images (x_left - x_right), NaN where unknown.

    tool_mask: HxW uint8 class ids (0 tissue, 1 tool) or None where the model has no mask.
    stddev: HxW float32, standard deviation of the disparity in px, NaN where unknown, or None
        if the model does not estimate it.
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
    stddev: np.ndarray | None = None


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
    parts.Part: NONE outside of the mask, or None if no model finds parts
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
        return self.chosen(slice(min(count, np.count_nonzero(self.scores >= score_threshold))))

    def distinct(self, overlap: float = MAX_OVERLAP) -> 'InstanceResult':
        """Drop those that overlap a better one of any class by more than this.

        Networks suppress duplicates within a class only, because average precision forgives a
        second class. An instrument has one. At 1 all are kept. What lies inside of
        another is a piece of it: the overlap is the share that does, if that is 80 % or more, else
        the IoU.
        """
        if overlap >= 1:
            return self
        kept: list[int] = []
        for index in range(len(self.scores)):
            if all(self._overlap(index, better) <= overlap for better in kept):
                kept.append(index)
        return self.chosen(kept)

    def _overlap(self, first: int, second: int) -> float:
        """Of one mask with a better one, which their boxes bound; see distinct."""
        pair = [first, second]
        low, high = self.boxes[pair, :2].max(axis=0), self.boxes[pair, 2:].min(axis=0)
        if (low >= high).any():
            return 0.0
        (x0, y0), (x1, y1) = low.astype(int), high.astype(int)
        both = self.masks[:, y0:y1, x0:x1]
        common = np.count_nonzero(both[first] & both[second])
        if not common:
            return 0.0
        areas = [int(np.count_nonzero(self.masks[index])) for index in pair]
        inside = common / areas[0]
        return inside if inside >= _INSIDE else common / (sum(areas) - common)

    def chosen(self, kept: slice | Sequence[int]) -> 'InstanceResult':
        """Some of them, in the order given."""
        return replace(
            self,
            **{
                name: value[kept]
                for name in ('class_ids', 'scores', 'boxes', 'masks', 'parts', 'track_ids')
                if (value := getattr(self, name)) is not None
            },
        )


def mask_boxes(masks: np.ndarray) -> np.ndarray:
    """Smallest boxes around masks n x H x W bool, none of them empty: see InstanceResult.boxes."""
    corners = np.zeros((len(masks), 4), np.float32)
    for corner, mask in zip(corners, masks, strict=True):
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        corner[:] = left, top, left + width, top + height
    return corners
