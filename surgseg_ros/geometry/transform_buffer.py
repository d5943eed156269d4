"""Transforms between frames over time, with the results of tf2's buffer, where tf2 is missing.

A frame has one parent. A lookup goes up from both frames to their common root; between two
stamps of a transform it interpolates (linear, slerp), beyond them it refuses: no extrapolation.
Static transforms hold at all times.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

import numpy as np

from surgseg_ros.geometry.transforms import slerp, transform

NANOSECONDS = 1_000_000_000
KEPT = 10 * NANOSECONDS  # as tf2's cache


class TransformError(ValueError):
    """A transform that is not known; one sentence says what is missing."""


@dataclass
class _Link:
    """From a frame to its parent: stamps, positions and quaternions of the same order."""

    parent: str
    static: bool
    samples: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)


class TransformBuffer:
    """Keeps what /tf and /tf_static say."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    def add(
        self,
        parent: str,
        child: str,
        stamp: int,
        position: np.ndarray,
        quaternion: np.ndarray,
        static: bool = False,
    ) -> None:
        """Take parent-from-child (m; x, y, z, w) at a stamp in ns; ValueError for no rotation."""
        parent, child = parent.lstrip('/'), child.lstrip('/')
        if not parent or not child or parent == child:
            raise ValueError(f'a transform from {child!r} to {parent!r} means nothing')
        transform(position, quaternion)
        link = self._links.get(child)
        if link is None or link.parent != parent or link.static != static:
            link = self._links[child] = _Link(parent, static)
        values = (*(float(v) for v in position), *(float(v) for v in quaternion))
        if static:
            link.samples = [(0, values)]
            return
        newest = link.samples[-1][0] if link.samples else stamp
        if stamp < newest - KEPT:
            return
        link.samples = [s for s in link.samples if s[0] != stamp and s[0] > newest - KEPT]
        insort(link.samples, (stamp, values))

    def lookup(self, target: str, source: str, stamp: int) -> np.ndarray:
        """4x4, target from source, at a stamp in ns (0: the newest common time)."""
        target, source = target.lstrip('/'), source.lstrip('/')
        if target == source:
            return np.eye(4)
        up_target, up_source = self._ancestors(target), self._ancestors(source)
        common = next((frame for frame in up_source if frame in up_target), None)
        if common is None:
            raise TransformError(f'nothing connects the frames {source} and {target}')
        chains = up_source[: up_source.index(common)], up_target[: up_target.index(common)]
        stamp = stamp or self._newest([*chains[0], *chains[1]])
        to_common, from_common = (self._along(chain, stamp) for chain in chains)
        return np.asarray(np.linalg.inv(from_common) @ to_common)

    def age(self, target: str, source: str, stamp: int) -> float:
        """Seconds by which the stamp lies beyond the newest common transform; 0 if it does not."""
        up_target, up_source = self._ancestors(target), self._ancestors(source)
        common = next((frame for frame in up_source if frame in up_target), None)
        chain = [f for up in (up_source, up_target) for f in up if common and f != common]
        newest = self._newest(chain)
        return max(0.0, (stamp - newest) / NANOSECONDS) if newest else 0.0

    def _ancestors(self, frame: str) -> list[str]:
        found = [frame]
        while found[-1] in self._links:
            parent = self._links[found[-1]].parent
            if parent in found:
                raise TransformError(f'the frames {", ".join(found)} form a loop')
            found.append(parent)
        return found

    def _newest(self, frames: list[str]) -> int:
        """Newest stamp that all moving links have; 0 where all are static."""
        links = [self._links[frame] for frame in frames if frame in self._links]
        stamps = [link.samples[-1][0] for link in links if not link.static and link.samples]
        return min(stamps, default=0)

    def _along(self, frames: list[str], stamp: int) -> np.ndarray:
        matrix = np.eye(4)
        for frame in frames:
            matrix = self._at(frame, stamp) @ matrix
        return matrix

    def _at(self, frame: str, stamp: int) -> np.ndarray:
        link = self._links[frame]
        if link.static:
            return _matrix(link.samples[0][1])
        stamps = [s for s, _ in link.samples]
        index = bisect_left(stamps, stamp)
        if index < len(stamps) and stamps[index] == stamp:
            return _matrix(link.samples[index][1])
        if index in (0, len(stamps)):
            edge, word = (stamps[0], 'before') if index == 0 else (stamps[-1], 'after')
            late = abs(stamp - edge) / NANOSECONDS
            raise TransformError(
                f'the transform from {frame} to {link.parent} is asked for {late:.3f} s {word} '
                'all that is known'
            )
        (t0, a), (t1, b) = link.samples[index - 1], link.samples[index]
        share = (stamp - t0) / (t1 - t0)
        first, second = np.array(a), np.array(b)
        position = first[:3] + share * (second[:3] - first[:3])
        return transform(position, slerp(first[3:], second[3:], share))


def _matrix(values: tuple[float, ...]) -> np.ndarray:
    return transform(np.array(values[:3]), np.array(values[3:]))
