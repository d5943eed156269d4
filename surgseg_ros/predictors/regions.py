"""Which of the regions that a network calls an instrument count, and as what.

On frames that differ from its training a network doubts: false regions have a lower mean
probability than instruments, even where single pixels are as certain. So a region - connected
pixels of any instrument - counts as a whole or not at all, and has one type. All this is done to
the scores at the network's own resolution, before they are enlarged.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from surgseg_ros.frames.parts import Part, part_named

_NEVER = np.float32(-1e4)  # score of an impossible class; finite, because it is interpolated
_CLEAR = np.float32(5)  # by which the background then leads


@dataclass(frozen=True)
class RegionRules:
    """pixel: probability of any instrument from which a pixel is one; 0: where one class leads.

    region: mean probability over a region from which it counts. least: share of the picture that
    a region has at least. one_type: a region has the type of most of its pixels. The defaults
    change nothing.
    """

    pixel: float = 0.0
    region: float = 0.0
    least: float = 0.0
    one_type: bool = False


AS_PUBLISHED = RegionRules()


def select_regions(
    scores: np.ndarray, rules: RegionRules, content: np.ndarray | None = None
) -> np.ndarray:
    """Scores C x h x w (logarithms of probabilities) -> scores whose greatest obey the rules.

    Class 0 is the background. content: h x w bool, where the picture is; outside is background.
    """
    if rules == AS_PUBLISHED and content is None:
        return scores
    scores = scores.astype(np.float32)
    odds = np.logaddexp.reduce(scores[1:], axis=0) - scores[0]
    if rules.pixel:
        least = np.float32(np.log(rules.pixel / (1 - rules.pixel)))
        scores[0] = scores[1:].max(axis=0) + least - odds
    if content is not None:
        _give_to_background(scores, ~content)
    count, regions, sizes, means = _regions(scores, 1 / (1 + np.exp(-odds)))
    picture = odds.size if content is None else np.count_nonzero(content)
    dropped = (means < rules.region) | (sizes < rules.least * picture)
    dropped[0] = False
    _give_to_background(scores, dropped[regions])
    if rules.one_type:
        _give_one_type(scores, np.where(dropped[regions], 0, regions), count)
    return scores


def without_classes(scores: np.ndarray, classes: Collection[int]) -> np.ndarray:
    """Scores C x h x w whose `classes` cannot be the greatest."""
    if not classes:
        return scores
    scores = scores.copy()
    scores[list(classes)] = _NEVER
    return scores


def are_types(class_names: Sequence[str]) -> bool:
    """Whether classes tell types of instruments, of which a region has one; parts it has all."""
    return all(part_named(name) == Part.UNKNOWN for name in class_names)


def _give_to_background(scores: np.ndarray, where: np.ndarray) -> None:
    scores[0][where] = scores.max(axis=0)[where] + _CLEAR


def _regions(
    scores: np.ndarray, probability: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Count, number of each cell's region (0: background), sizes in cells, mean probabilities."""
    instrument = (scores.argmax(axis=0) > 0).astype(np.uint8)
    count, regions = cv2.connectedComponents(instrument, connectivity=8)
    sizes = np.bincount(regions.ravel(), minlength=count)
    means = np.bincount(regions.ravel(), probability.ravel(), count) / np.maximum(sizes, 1)
    return count, regions, sizes, means


def _give_one_type(scores: np.ndarray, regions: np.ndarray, count: int) -> None:
    """Let the class that leads in most cells of a region lead in all of them."""
    classes = len(scores)
    inside = regions > 0
    winners = 1 + scores[1:].argmax(axis=0)
    votes = np.bincount(
        regions[inside] * classes + winners[inside], minlength=count * classes
    ).reshape(count, classes)
    chosen = votes.argmax(axis=1)[regions[inside]]
    cells = scores[:, inside]
    best = cells[1:].max(axis=0)
    cells[1:] = np.minimum(cells[1:], best - _CLEAR)
    cells[chosen, np.arange(len(chosen))] = best
    scores[:, inside] = cells
