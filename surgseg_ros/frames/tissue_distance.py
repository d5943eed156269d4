"""How far an instrument is from tissue: the same numbers as msg/TissueDistance.msg."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class DistanceLevel(IntEnum):
    """OK: farther than the distance that was asked for. UNKNOWN: too little tissue is seen."""

    OK = 0
    WARN = 1
    UNKNOWN = 2


@dataclass(frozen=True)
class TissueDistance:
    """Distances in m, NaN unknown; points (3,) in the left optical frame.

    tip_clearance: of the jaw tip that is nearer. shaft_clearance: of the tube's surface. stddev:
    of the tip's. visible_fraction: of the tissue around the tip, 0..1.
    """

    slot: int
    track_id: int
    level: DistanceLevel
    tip_clearance: float = np.nan
    shaft_clearance: float = np.nan
    stddev: float = np.nan
    visible_fraction: float = 0.0
    tip: np.ndarray = field(default_factory=lambda: np.full(3, np.nan))
    nearest_tissue: np.ndarray = field(default_factory=lambda: np.full(3, np.nan))
