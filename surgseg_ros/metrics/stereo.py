"""Stereo accuracy as the literature reports it (KITTI 2015, SCARED).

Every figure is of one frame; a sequence's figure is the plain mean over its frames.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.geometry.points import disparity_to_depth


@dataclass(frozen=True)
class StereoMetrics:
    """Accuracy of one frame, or the mean over frames; NaN where nothing could be compared.

    Compared are the pixels with ground truth where the disparity is valid as well.
    epe: end-point error, mean |d - truth|, px.
    bad1, bad2, bad3: share of compared pixels with an error above 1, 2, 3 px, %.
    coverage: share of ground-truth pixels that have a valid disparity, %.
    depth_mae: mean |z - z_truth|, mm; NaN without a calibration. Where the disparity is not
        positive there is no depth, and the pixel is left out.
    pixels: number of pixels compared.
    """

    epe: float
    bad1: float
    bad2: float
    bad3: float
    coverage: float
    depth_mae: float
    pixels: float


def stereo_metrics(
    disparity: np.ndarray,
    truth: np.ndarray,
    calibration: StereoCalibration | None = None,
    mask: np.ndarray | None = None,
    missing_depth: float | None = None,
) -> StereoMetrics:
    """Compare a disparity with the truth of the same view.

    disparity, truth: HxW float px (x_left - x_right), NaN unknown. mask: HxW bool, pixels to
    look at (say, those visible in both views), all if None. missing_depth: m, stands for the depth
    where the compared disparity is not positive; without, such a pixel has no depth error.
    Raises ValueError if sizes differ.
    """
    for name, image in (('truth', truth), ('mask', mask)):
        if image is not None and image.shape != disparity.shape:
            raise ValueError(f'the {name} is {image.shape}, the disparity {disparity.shape}')
    known = np.isfinite(truth) if mask is None else np.isfinite(truth) & mask.astype(bool)
    compared = known & np.isfinite(disparity)
    error = np.abs(disparity[compared].astype(np.float64) - truth[compared])
    return StereoMetrics(
        epe=_mean(error),
        bad1=100 * _mean(error > 1),
        bad2=100 * _mean(error > 2),
        bad3=100 * _mean(error > 3),
        coverage=100 * _mean(compared[known]),
        depth_mae=_depth_error(disparity, truth, compared, calibration, missing_depth),
        pixels=float(error.size),
    )


def mean_metrics(frames: Iterable[StereoMetrics]) -> StereoMetrics:
    """Plain mean of each figure over frames; frames where it is NaN do not count for it."""
    columns = np.array([astuple(frame) for frame in frames], dtype=np.float64).reshape(-1, 7)
    return StereoMetrics(*(_mean(column[np.isfinite(column)]) for column in columns.T))


def _depth_error(
    disparity: np.ndarray,
    truth: np.ndarray,
    compared: np.ndarray,
    calibration: StereoCalibration | None,
    missing_depth: float | None,
) -> float:
    if calibration is None:
        return float('nan')
    offset = calibration.principal_offset
    depth, expected = (
        disparity_to_depth(image[compared] - offset, calibration) for image in (disparity, truth)
    )
    if missing_depth is not None:
        depth = np.where(np.isnan(depth), np.float32(missing_depth), depth)
    error = np.abs(depth - expected)
    return 1000 * _mean(error[np.isfinite(error)])


def _mean(values: np.ndarray) -> float:
    """Mean of the values; NaN without any (np.mean would warn)."""
    return float(values.mean(dtype=np.float64)) if values.size else float('nan')
