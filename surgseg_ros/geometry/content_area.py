"""Where in an endoscope's frame the picture is: without black bars and dark surroundings.

Frame grabbers put the picture into a larger frame, and many endoscopes show a disc or an octagon.
The area outside does not show the patient, yet networks find instruments there and matchers
find surfaces. The picture is convex: it is the convex hull of what is brighter than the border,
provided that this hull has a sharp edge. A lamp's fall-off towards dark corners has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

_WIDTH = 640  # px; larger frames are shrunk to this before a border is looked for
_MOST_LEVEL = 32  # grey level of the frame's edge from which on it is no border
_MARGINS = (3, 6, 10, 16, 24)  # grey levels by which the picture may be brighter than the border
_STROKE = 7  # px; what is thinner is burnt-in text, not the picture
_LEAST_PICTURE, _LEAST_BORDER = 0.08, 0.003  # shares of the frame
_LARGE = 0.03  # of the largest bright region: others that may belong to the picture
_DARK = 0.9  # least share of the border that is dark; the rest may be text
_PROBE = 3  # px to either side of the picture's edge, where
_STEP = 8  # grey levels between the sides make it sharp,
_SHARP = 0.4  # on this share of its length at least
_BAND = 0.02  # of the frame's size: how far black that comes from outside may reach into the hull,
_BESIDE = 24  # and the least grey level beside it, in the mean: a lamp's fall-off ends darker
_BLACK = 2  # grey level of what rectification leaves empty, with what interpolation adds
_THUMBNAIL = 96  # px, the width of the picture in which changes are looked for
_CHANGED = 12  # grey levels, mean over the frame, from which on it shows something else
_REFUTED = 0.05  # share of a border that has become bright
_SAME = 0.97  # IoU of two areas from which on they are one

Box = tuple[int, int, int, int]  # x, y, width, height, px


@dataclass(frozen=True)
class ContentArea:
    """Where the picture is: mask HxW bool; level: brightest grey of the border, -1 if unknown."""

    mask: np.ndarray
    level: int = -1

    @cached_property
    def box(self) -> Box:
        """x, y, width, height of the smallest rectangle that holds the picture, px."""
        x, y, width, height = cv2.boundingRect(self.mask.view(np.uint8))
        return int(x), int(y), int(width), int(height)

    @cached_property
    def full(self) -> bool:
        """Whether the picture fills the frame."""
        return bool(self.mask.all())

    def __str__(self) -> str:
        x, y, width, height = self.box
        share = 100 * float(self.mask.mean())
        return 'full' if self.full else f'{x},{y},{width},{height} ({share:.0f} % of the frame)'


def full_area(size: tuple[int, int]) -> ContentArea:
    """All of a frame of size (height, width)."""
    return ContentArea(np.ones(size, bool))


def area_of_box(box: Box, size: tuple[int, int]) -> ContentArea:
    """A rectangle of a frame of size (height, width); ValueError where it is not inside."""
    x, y, width, height = box
    if min(x, y) < 0 or min(width, height) < 1 or x + width > size[1] or y + height > size[0]:
        raise ValueError(
            f'content_area is {x},{y},{width},{height}, which is not inside of the image of '
            f'{size[1]}x{size[0]} px'
        )
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return ContentArea(mask)


def parse_content_area(text: str) -> Box | None:
    """Read 'auto' or 'full' (None), or 'x,y,width,height' in px; ValueError if it is neither."""
    if text in ('auto', 'full'):
        return None
    try:
        x, y, width, height = (int(number) for number in text.split(','))
    except ValueError:
        raise ValueError(
            f'content_area is {text!r}, expected auto, full or x,y,width,height in px'
        ) from None
    if min(x, y) < 0 or min(width, height) < 1:
        raise ValueError(f'content_area is {text!r}, expected x, y from 0 and a size from 1 px on')
    return x, y, width, height


def find_content(image: np.ndarray) -> ContentArea | None:
    """Find the picture in a frame, HxWx3 uint8 RGB; None if no border is visible.

    That is so where there is no border, and where the picture is too dark to have an edge.
    """
    small = _brightness(_shrunk(image, _WIDTH))
    ring = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    level = int(np.percentile(ring, 5))
    hull, level = _sharpest(small, level) if level <= _MOST_LEVEL else (None, _BLACK)
    if hull is None:
        hull, level = np.ones(small.shape, np.uint8), _BLACK
    else:
        hull = _eroded(hull)  # half of a border's pixel may be on its edge
    size = image.shape[1], image.shape[0]
    mask = cv2.resize(hull, size, interpolation=cv2.INTER_NEAREST)
    mask[_empty(_brightness(image), mask, level)] = 0
    return None if mask.all() else ContentArea(mask.view(bool), level)


def _shrunk(image: np.ndarray, width: int) -> np.ndarray:
    """At this width at most, averaged."""
    if image.shape[1] <= width:
        return image
    height = max(round(image.shape[0] * width / image.shape[1]), 1)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _brightness(image: np.ndarray) -> np.ndarray:
    """The brightest of the three channels: tissue that is dark and red is no border."""
    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue)


def _sharpest(small: np.ndarray, level: int) -> tuple[np.ndarray | None, int]:
    """The hull with the sharpest edge, and the grey level below which its border is dark."""
    smooth = cv2.blur(small, (3, 3))
    best = _SHARP
    found: tuple[np.ndarray | None, int] = None, level
    for margin in _MARGINS:
        for hull in _hulls(small, level + margin):
            sharp = _sharpness(small, smooth, hull, level + margin)
            if sharp > best:
                best, found = sharp, (hull, level + margin)
    return found


def _hulls(small: np.ndarray, level: int) -> Iterator[np.ndarray]:
    """Masks (uint8) of the hull of the largest bright region, and of all that are large."""
    bright = cv2.threshold(small, level, 1, cv2.THRESH_BINARY)[1]
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((_STROKE, _STROKE), np.uint8))
    _, regions, stats, _ = cv2.connectedComponentsWithStats(bright)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = areas.max(initial=0)
    if largest < _LEAST_PICTURE * small.size:
        return
    yield _hull(regions == 1 + areas.argmax())
    if np.count_nonzero(areas > _LARGE * largest) > 1:
        yield _hull(np.append(False, areas > _LARGE * largest)[regions])


def _hull(region: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(
        region.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    hull = cv2.convexHull(np.concatenate(outlines))
    return cv2.fillConvexPoly(np.zeros(region.shape, np.uint8), hull, 1)


def _eroded(hull: np.ndarray) -> np.ndarray:
    """By one px, but not from the frame's edge."""
    return cv2.erode(
        hull, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1
    )


def _sharpness(small: np.ndarray, smooth: np.ndarray, hull: np.ndarray, level: int) -> float:
    """Share of the hull's edge where dark steps to bright; 0 if what is outside is no border."""
    outside = hull == 0
    border = int(np.count_nonzero(outside))
    if border < _LEAST_BORDER * hull.size:
        return 0.0
    if np.count_nonzero(small[outside] <= level) < _DARK * border:
        return 0.0
    inside = _eroded(hull)
    edge = hull > inside
    probe = np.ones((2 * _PROBE + 1, 2 * _PROBE + 1), np.uint8)
    bright = cv2.dilate(smooth * inside, probe)[edge]
    dark = cv2.erode(np.where(outside, smooth, np.uint8(255)), probe)[edge]
    return float((bright >= dark.astype(np.int16) + _STEP).mean()) if bright.size else 0.0


def _empty(bright: np.ndarray, hull: np.ndarray, level: int) -> np.ndarray:
    """Where black reaches from outside into the hull: edges that rectification has bent inwards.

    bright: HxW grey levels. Returns HxW bool, outside of the hull and within a band inside it.
    """
    black = ((bright <= level) | (hull == 0)).astype(np.uint8)
    framed = cv2.copyMakeBorder(black, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    reach = 2 * max(round(_BAND * max(hull.shape)), 1) + 1
    band = cv2.erode(
        hull, np.ones((reach, reach), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    empty: np.ndarray = (framed[1:-1, 1:-1] == 2) & (band == 0)
    beside = (cv2.dilate(empty.view(np.uint8), np.ones((5, 5), np.uint8)) > 0) & ~empty
    if not beside.any() or bright[beside].mean() < _BESIDE:
        empty = hull == 0
    return empty


class ContentFinder:
    """The content area over time: found once, kept, looked for again when the picture changes.

    setting: 'auto', 'full' or 'x,y,width,height', see parse_content_area. A dark scene or smoke
    keeps the area; a border that becomes bright ends it; another size of frames restarts the
    search.
    """

    def __init__(self, setting: str = 'auto') -> None:
        self._box, self._full = parse_content_area(setting), setting == 'full'
        self._area: ContentArea | None = None
        self._seen: np.ndarray | None = None  # thumbnail of the frame last looked at
        self._border: np.ndarray | None = None  # where the thumbnail was dark border

    @property
    def area(self) -> ContentArea | None:
        """As of the last frame; None before the first."""
        return self._area

    def update(self, image: np.ndarray) -> ContentArea:
        """Area of this frame, HxWx3 uint8 RGB; ValueError if a given box is not inside of it."""
        size = image.shape[0], image.shape[1]
        if self._area is None or self._area.mask.shape != size:
            self._area, self._seen = self._first(size), None
        if self._box is None and not self._full:
            self._look(image)
        return self._area

    def _first(self, size: tuple[int, int]) -> ContentArea:
        return area_of_box(self._box, size) if self._box else full_area(size)

    def _look(self, image: np.ndarray) -> None:
        assert self._area is not None
        height = max(round(image.shape[0] * _THUMBNAIL / image.shape[1]), 1)
        thumbnail = _brightness(
            cv2.resize(image, (_THUMBNAIL, height), interpolation=cv2.INTER_NEAREST)
        )
        refuted = self._refuted(thumbnail)
        if not refuted and not self._changed(thumbnail):
            return
        found = find_content(image)
        if found is None and refuted:
            found = full_area(self._area.mask.shape)
        if found is not None and self._replaces(found, image):
            self._area = found
        self._remember(thumbnail)

    def _replaces(self, found: ContentArea, image: np.ndarray) -> bool:
        """Whether it is another area, and what the present one loses is as dark as its border."""
        assert self._area is not None
        lost, border = self._area.mask & ~found.mask, ~self._area.mask
        if not self._area.full and _alike(found.mask, self._area.mask):
            return False
        if not border.any() or not lost.any():
            return True
        bright = _brightness(image)
        most, usual = (np.percentile(bright[where], 95) for where in (lost, border))
        return bool(most <= usual + _BLACK)

    def _refuted(self, thumbnail: np.ndarray) -> bool:
        """Whether what was a dark border shows something."""
        if self._seen is None or self._border is None or not self._border.any():
            return False
        assert self._area is not None
        return bool((thumbnail[self._border] > self._area.level + _STEP).mean() > _REFUTED)

    def _changed(self, thumbnail: np.ndarray) -> bool:
        if self._seen is None:
            return True
        return bool(cv2.absdiff(thumbnail, self._seen).mean() > _CHANGED)

    def _remember(self, thumbnail: np.ndarray) -> None:
        assert self._area is not None
        size = thumbnail.shape[1], thumbnail.shape[0]
        content = cv2.resize(self._area.mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        content = cv2.dilate(content, np.ones((3, 3), np.uint8))
        self._seen = thumbnail
        self._border = (content == 0) & (thumbnail <= self._area.level + _STEP)


def _alike(first: np.ndarray, second: np.ndarray) -> bool:
    common = np.count_nonzero(first & second)
    return bool(common >= _SAME * np.count_nonzero(first | second))
