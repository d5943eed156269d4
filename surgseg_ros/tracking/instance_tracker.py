"""The same number for the same instrument over frames: overlap and motion, Hungarian assignment.

As SORT (Bewley et al. 2016, arXiv:1602.00763), with masks instead of boxes and an alpha-beta
filter of their centroids instead of the Kalman filter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

GRID = 160  # px: masks are compared with their longer side at most this long
GATE = 1.5  # a pair costs less; without overlap: closer than half the instrument's length
STAYED = 0.3  # added for a sighting that fits the instrument's last place and not its motion
OTHER_CLASS = 0.2  # added for a pair of two classes, which occurs because networks confuse classes
ALPHA, BETA = 0.7, 0.3  # share of the innovation added to the position, and to the velocity
_IMPOSSIBLE = 1e6


@dataclass(frozen=True)
class Sighting:
    """An instance in one frame. mask: h x w bool, reduced to GRID. seconds: when."""

    seconds: float
    class_id: int
    mask: np.ndarray

    @cached_property
    def centroid(self) -> np.ndarray:
        """x, y in px of the reduced mask."""
        rows, columns = np.nonzero(self.mask)
        return np.array([columns.mean(), rows.mean()])

    @cached_property
    def length(self) -> float:
        """Diagonal of the box around the mask, px."""
        rows, columns = np.nonzero(self.mask)
        return float(np.hypot(np.ptp(columns) + 1, np.ptp(rows) + 1))


@dataclass
class Track:
    """One instrument over time.

    seen: its latest sighting. centroid, velocity: filtered, px and px/s of the reduced mask.
    missed: updates since the sighting.
    """

    number: int
    seen: Sighting
    centroid: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    missed: int = 0

    def predict(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Centroid and mask predicted for this time at constant velocity."""
        shift = self.velocity * (seconds - self.seen.seconds)
        return self.centroid + shift, _shifted(self.seen.mask, shift)

    def correct(self, seen: Sighting) -> None:
        """Update with a sighting."""
        passed = seen.seconds - self.seen.seconds
        surprise = seen.centroid - self.centroid - self.velocity * passed
        self.centroid = seen.centroid - (1 - ALPHA) * surprise
        self.velocity = self.velocity + BETA * surprise / passed
        self.seen, self.missed = seen, 0


class InstanceTracker:
    """Gives the instances of frame after frame their track ids, from 1 upwards.

    max_gap: an instrument gets its id back after at most so many frames without it; may be
    changed at any time.
    """

    def __init__(self, max_gap: int = 10) -> None:
        self.max_gap = max_gap
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next new id is 1."""
        self._tracks: list[Track] = []
        self._seconds, self._size = -np.inf, (0, 0)
        self._count = 0

    def update(self, seconds: float, class_ids: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Return the N track ids (uint32) of a frame's instances, no id twice.

        seconds: the frame's time. Tracking is reset if it is not later than the previous one, or
        if the masks have another size. class_ids: N. masks: N x H x W bool.
        An instance whose mask is empty is not tracked: its id is 0. ValueError where the time is
        not finite.
        """
        if not np.isfinite(seconds):
            raise ValueError(f'a frame at {seconds} s cannot be tracked')
        if seconds <= self._seconds or (
            self._tracks and len(masks) and masks.shape[1:] != self._size
        ):
            self.reset()
        self._seconds = seconds
        if len(masks):
            self._size = masks.shape[1:]
        step = max(1, -(-max(masks.shape[1:]) // GRID))
        small = [reduced(mask, step) for mask in masks]
        visible = [index for index, mask in enumerate(small) if mask.any()]
        ids = np.zeros(len(masks), np.uint32)
        ids[visible] = self._take(
            seconds, [Sighting(seconds, int(class_ids[index]), small[index]) for index in visible]
        )
        return ids

    def _take(self, seconds: float, seen: Sequence[Sighting]) -> list[int]:
        """Continue tracks, begin and end some; ids of the sightings."""
        for track in self._tracks:
            track.missed += 1
        continued = self._match(seconds, seen)
        numbers = []
        for index, sighting in enumerate(seen):
            if index in continued:
                continued[index].correct(sighting)
            else:
                continued[index] = self._begin(sighting)
            numbers.append(continued[index].number)
        self._tracks = [track for track in self._tracks if track.missed <= self.max_gap]
        return numbers

    def _match(self, seconds: float, seen: Sequence[Sighting]) -> dict[int, Track]:
        """Tracks by the number of the sighting that continues them; least total cost."""
        costs = pair_costs(self._tracks, seconds, seen)
        rows, columns = linear_sum_assignment(np.where(costs < GATE, costs, _IMPOSSIBLE))
        return {
            int(column): self._tracks[row]
            for row, column in zip(rows, columns, strict=True)
            if costs[row, column] < GATE
        }

    def _begin(self, sighting: Sighting) -> Track:
        self._count += 1
        self._tracks.append(Track(self._count, sighting, sighting.centroid))
        return self._tracks[-1]


def reduced(mask: np.ndarray, step: int) -> np.ndarray:
    """Whether anything of a mask is in each block of step x step px: H x W bool, rounded up.

    Not every step-th pixel: a shaft thinner than that would come and go.
    """
    whole, rest = divmod(len(mask), step)
    rows = np.any(mask[: whole * step].reshape(whole, step, mask.shape[1]), axis=1)
    if rest:
        rows = np.vstack([rows, mask[whole * step :].any(axis=0)])
    # the blocks' columns by OpenCV: numpy takes five times as long along the last axis
    spread = cv2.dilate(rows.view(np.uint8), np.ones((1, step), np.uint8), anchor=(0, 0))
    return spread[:, ::step] > 0


def pair_costs(tracks: Sequence[Track], seconds: float, seen: Sequence[Sighting]) -> np.ndarray:
    """Cost of taking sighting j for track i, len(tracks) x len(seen).

    The distance from the predicted place of the track, or from its last one, which costs STAYED,
    because hands stop and turn. + OTHER_CLASS where the class differs.
    """
    if not (tracks and seen):
        return np.zeros((len(tracks), len(seen)))
    # the greater of the two, because one may be half hidden
    lengths = np.maximum.outer(
        [track.seen.length for track in tracks], [one.length for one in seen]
    )
    went_on, stayed = (
        _distances(places, seen, lengths)
        for places in (
            [track.predict(seconds) for track in tracks],
            [(track.centroid, track.seen.mask) for track in tracks],
        )
    )
    differs = np.not_equal.outer(
        [track.seen.class_id for track in tracks], [one.class_id for one in seen]
    )
    costs: np.ndarray = np.minimum(went_on, stayed + STAYED) + OTHER_CLASS * differs
    return costs


def _distances(
    places: Sequence[tuple[np.ndarray, np.ndarray]], seen: Sequence[Sighting], lengths: np.ndarray
) -> np.ndarray:
    """1 - IoU of the masks + distance of the centroids / length of the instrument.

    places: centroids and masks, of each the one that the sightings are compared with.
    """
    centroids, masks = (np.stack(each) for each in zip(*places, strict=True))
    distance = np.linalg.norm(
        centroids[:, None] - np.stack([one.centroid for one in seen]), axis=2
    )
    distances: np.ndarray = (
        1 - mask_iou(masks, np.stack([one.mask for one in seen])) + distance / lengths
    )
    return distances


def mask_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of each of M masks with each of N (h x w bool): M x N float32.

    ValueError where they have different sizes.
    """
    if not (len(first) and len(second)):
        return np.zeros((len(first), len(second)), np.float32)
    if first.shape[1:] != second.shape[1:]:
        sizes = ('x'.join(map(str, masks.shape[:0:-1])) for masks in (first, second))
        raise ValueError(f'masks of {" and ".join(sizes)} px have no overlap')
    a, b = (
        masks.reshape(len(masks), np.prod(masks.shape[1:])).astype(np.float32)
        for masks in (first, second)
    )
    # not a @ b.T: BLAS's threads wait for each other, on a busy machine for half a second
    both = np.einsum('mp,np->mn', a, b)
    iou: np.ndarray = both / np.maximum(a.sum(1)[:, None] + b.sum(1) - both, 1)
    return iou


def _shifted(mask: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Shift a mask by x, y px; pixels that leave the image are dropped."""
    height, width = mask.shape
    right, down = np.rint(np.clip(shift, (-width, -height), (width, height))).astype(int)
    moved = np.zeros_like(mask)
    target = moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    target[:] = mask[max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
    return moved
