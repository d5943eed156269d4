"""How much later the camera's stamps are than the arm's, found from motion alone."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from surgseg_ros.geometry.hand_eye import MINIMUM, Pairs, linear_fit
from surgseg_ros.geometry.pose_track import NANOSECONDS, PoseTrack

LARGEST_DELAY = 0.4  # s, searched in both directions
_STEP = 0.02  # s, of the search before refinement
_LEAST_GAIN = 0.05  # share of the error that a delay must remove to be believed


@dataclass(frozen=True)
class Sightings:
    """Control points that the camera saw: stamps n ns, points n x 3 m, covariances n x 3 x 3."""

    stamps: np.ndarray
    points: np.ndarray
    covariances: np.ndarray


def pair(seen: Sightings, arm: PoseTrack, delay: float = 0.0) -> Pairs:
    """Pair every sighting with the arm's pose `delay` s before its stamp.

    Sightings outside the arm's track are left out. Raises ValueError where none is inside.
    """
    stamps = seen.stamps - np.int64(round(delay * NANOSECONDS))
    inside = arm.covers(stamps)
    if not inside.any():
        raise ValueError(
            'the stamps of camera and arm never meet: '
            f'{_span(seen.stamps)} and {_span(arm.stamps)}'
        )
    return Pairs(seen.points[inside], seen.covariances[inside], arm.at(stamps[inside]))


def estimate_delay(seen: Sightings, arm: PoseTrack, offset: np.ndarray | None = None) -> float:
    """s by which the camera's stamps are late; 0 where the motion does not tell.

    The delay with the least median distance between seen and predicted points.
    """

    def error(delay: float) -> float:
        pairs = pair(seen, arm, delay)
        if len(pairs) < max(MINIMUM, len(seen.stamps) // 2):
            return np.inf
        apart = pairs.points - linear_fit(pairs, offset).predict(pairs.poses)
        return float(np.median(np.linalg.norm(apart, axis=1)))

    candidates = np.arange(-LARGEST_DELAY, LARGEST_DELAY + _STEP / 2, _STEP)
    coarse = float(min(candidates, key=error))
    fine = minimize_scalar(error, bounds=(coarse - _STEP, coarse + _STEP), method='bounded')
    return float(fine.x) if fine.fun < (1 - _LEAST_GAIN) * error(0.0) else 0.0


def _span(stamps: np.ndarray) -> str:
    return f'{stamps[0] / NANOSECONDS:.3f} to {stamps[-1] / NANOSECONDS:.3f} s'
