"""Does a standard deviation per pixel tell how wrong a disparity is?

Two questions: are the errors as large as it says (calibration), and are the worst pixels those
with the largest (ranking)? The second by sparsification: pixels are left out, those with the
largest standard deviation first, and the mean error of the rest is compared with that of an
oracle, which leaves out the largest errors first. Ilg et al., "Uncertainty Estimates and
Multi-Hypotheses Networks for Optical Flow", ECCV 2018, arXiv:1802.07095, section 5.2.

Every figure is of one frame; a sequence's figure is the plain mean over its frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

FRACTIONS = np.linspace(0, 0.95, 20)  # of the pixels, left out


@dataclass(frozen=True)
class UncertaintyMetrics:
    """Of the pixels that have a disparity, a standard deviation and a truth; NaN without any.

    within_1, within_2: share of them whose error is below one, two standard deviations, %;
        of normally distributed errors 68 and 95.
    bad3, bad3_best: share of errors above 3 px, of all pixels and of the 90 % with the least
        standard deviation, %.
    ause: area between the two curves, as a share of the mean error.
    ause_constant: the same if the standard deviation were one number: nothing is ranked.
    curve, oracle: mean error, px, once FRACTIONS of the pixels are left out.
    pixels: number of pixels.
    """

    within_1: float
    within_2: float
    bad3: float
    bad3_best: float
    ause: float
    ause_constant: float
    curve: tuple[float, ...]
    oracle: tuple[float, ...]
    pixels: float


def uncertainty_metrics(
    disparity: np.ndarray, stddev: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None
) -> UncertaintyMetrics:
    """Judge a standard deviation.

    disparity, stddev, truth: HxW float px, NaN unknown. mask: HxW bool, pixels to look at, all if
    None. Raises ValueError if sizes differ.
    """
    for name, image in (('stddev', stddev), ('truth', truth), ('mask', mask)):
        if image is not None and image.shape != disparity.shape:
            raise ValueError(f'the {name} is {image.shape}, the disparity {disparity.shape}')
    compared = np.isfinite(disparity) & np.isfinite(stddev) & np.isfinite(truth)
    if mask is not None:
        compared &= mask.astype(bool)
    error = np.abs(disparity[compared].astype(np.float64) - truth[compared])
    sigma = stddev[compared]
    if not error.size:
        return _nothing()
    curve, oracle = sparsification(error, sigma), sparsification(error, error)
    mean = max(curve[0], 1e-12)
    best = sigma <= np.quantile(sigma, 0.9)
    return UncertaintyMetrics(
        within_1=100 * float(np.mean(error < sigma)),
        within_2=100 * float(np.mean(error < 2 * sigma)),
        bad3=100 * float(np.mean(error > 3)),
        bad3_best=100 * float(np.mean(error[best] > 3)),
        ause=float(np.mean(curve - oracle) / mean),
        ause_constant=float(np.mean(curve[0] - oracle) / mean),
        curve=tuple(curve.tolist()),
        oracle=tuple(oracle.tolist()),
        pixels=float(error.size),
    )


def sparsification(error: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Mean of n errors once FRACTIONS of them, those of the highest rank, are left out."""
    means = np.cumsum(error[np.argsort(rank, kind='stable')]) / np.arange(1, error.size + 1)
    kept = np.maximum(np.ceil((1 - FRACTIONS) * error.size).astype(int), 1)
    return np.asarray(means[kept - 1])


def mean_uncertainty(frames: Sequence[UncertaintyMetrics]) -> UncertaintyMetrics:
    """Plain mean over the frames that have pixels; pixels are added up."""
    counted = [frame for frame in frames if frame.pixels]
    if not counted:
        return _nothing()
    means: dict[str, Any] = {
        field.name: np.mean([getattr(frame, field.name) for frame in counted], axis=0).tolist()
        for field in fields(UncertaintyMetrics)
    }
    curves = {name: tuple(means[name]) for name in ('curve', 'oracle')}
    pixels = sum(frame.pixels for frame in counted)
    return UncertaintyMetrics(**{**means, **curves, 'pixels': pixels})


def _nothing() -> UncertaintyMetrics:
    unknown = float('nan')
    curve = (unknown,) * len(FRACTIONS)
    return UncertaintyMetrics(
        unknown, unknown, unknown, unknown, unknown, unknown, curve, curve, 0.0
    )
