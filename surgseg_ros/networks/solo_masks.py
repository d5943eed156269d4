"""SOLO's masks, at 1/4 of the network's input, at the size of the frame. No torch."""

from math import gcd
from typing import NamedTuple

import cv2
import numpy as np


def enlarge(
    mask: np.ndarray, threshold: float, content: tuple[int, int], frame: np.ndarray
) -> bool:
    """Set the pixels of `frame`, H x W bool, where the mask is higher; False if there are none.

    mask: h x w float32. As published it is brought to 4 times its size, cropped to the content
    (height, width) without padding, and brought to the frame's size; both times bilinearly, with
    pixel centres at half integers. What cannot be above the threshold is not computed.
    """
    higher = mask > threshold
    rows = _span(np.logical_or.reduce(higher, axis=1), content[0], frame.shape[0])
    columns = _span(np.logical_or.reduce(higher, axis=0), content[1], frame.shape[1])
    if rows is None or columns is None:
        return False
    inner = cv2.resize(
        mask[rows.mask, columns.mask], None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR
    )[rows.content, columns.content]
    part = frame[rows.frame, columns.frame]
    outer = cv2.resize(inner, part.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return bool(np.greater(outer, threshold, out=part).any())


class _Span(NamedTuple):
    """Rows or columns to compute: of the mask, then of its enlargement, then of the frame."""

    mask: slice
    content: slice
    frame: slice


def _span(higher: np.ndarray, content: int, size: int) -> _Span | None:
    """What the rows or columns `higher` of a mask reach in `content` and in `size` px, if any.

    Pixels of the content and of the frame meet at the ends of the span, so that a part is
    resized exactly like the whole.
    """
    places = np.flatnonzero(higher)
    if not places.size:
        return None
    unit = content // gcd(content, size)
    # pixel i reaches 4 i - 2 to 4 i + 5, and one more by the second resizing
    start = (4 * int(places[0]) - 3) // unit * unit
    stop = -(-(4 * int(places[-1]) + 7) // unit) * unit
    start, stop = max(start, 0), min(stop, content)
    if start >= stop:
        return None  # in the padding
    first = max(start // 4 - 1, 0)
    last = min(-(-stop // 4) + 1, len(higher))
    return _Span(
        slice(first, last),
        slice(start - 4 * first, stop - 4 * first),
        slice(start * size // content, stop * size // content),
    )
