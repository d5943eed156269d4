"""Poses of one frame over time, and what they are in between."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class PoseTrack:
    """stamps: n int64 ns, strictly increasing, n >= 2. poses: n x 4 x 4, m."""

    stamps: np.ndarray
    poses: np.ndarray

    @classmethod
    def of(cls, stamps: np.ndarray, poses: np.ndarray) -> 'PoseTrack':
        """In order and without stamps that come twice; ValueError if fewer than two are left."""
        order, first = np.unique(np.asarray(stamps, np.int64), return_index=True)
        if len(order) < 2:
            raise ValueError(f'{len(order)} poses with stamps of their own, expected two or more')
        return cls(order, np.asarray(poses, float)[first])

    def covers(self, stamps: np.ndarray, largest_gap: float = 0.5) -> np.ndarray:
        """n booleans: whether the poses around a stamp (ns) are at most largest_gap s apart."""
        right = np.clip(np.searchsorted(self.stamps, stamps), 1, len(self.stamps) - 1)
        inside = (stamps >= self.stamps[0]) & (stamps <= self.stamps[-1])
        gap = self.stamps[right] - self.stamps[right - 1]
        return np.asarray(inside & (gap <= largest_gap * NANOSECONDS))

    def at(self, stamps: np.ndarray) -> np.ndarray:
        """m x 4 x 4 at stamps (ns): positions linear, rotations by slerp between two poses."""
        seconds = (self.stamps - self.stamps[0]) / NANOSECONDS
        wanted = np.clip((stamps - self.stamps[0]) / NANOSECONDS, 0.0, seconds[-1])
        poses = np.tile(np.eye(4), (len(wanted), 1, 1))
        rotations = Rotation.from_matrix(self.poses[:, :3, :3])
        poses[:, :3, :3] = Slerp(seconds, rotations)(wanted).as_matrix()
        for axis in range(3):
            poses[:, axis, 3] = np.interp(wanted, seconds, self.poses[:, axis, 3])
        return poses
