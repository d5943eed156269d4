"""Run a stereo predictor on smaller images, with results as if it had run on the full ones."""

import time
from dataclasses import replace

import cv2
import numpy as np

from surgseg_ros.frames.results import StereoResult
from surgseg_ros.predictors.protocols import Matcher


def scale_for(width: int) -> float:
    """Scale at which semi-global matching sees images of this width, px.

    1 up to 800 px, else 640 / width rounded to quarters: real tissue of 1280 px has little detail
    at its full size, and at half of it more is matched in half the time.
    """
    return 1.0 if width <= 800 else max(round(4 * 640 / width), 1) / 4


def predict_scaled(
    predictor: Matcher, left: np.ndarray, right: np.ndarray, scale: float = 1.0
) -> StereoResult:
    """Predict on images shrunk by `scale` (0 < scale <= 1).

    Disparity and its standard deviation come back HxW in px of the full images, the tool mask
    HxW. A predictor's disparity range counts px of what it is given: at scale 0.5 a range of 64
    reaches 128 px.
    """
    if not 0 < scale <= 1:
        raise ValueError(f'scale is {scale:g}, expected more than 0 and at most 1')
    if scale == 1:
        return predictor.predict(left, right)
    height, width = left.shape[:2]
    small = max(round(width * scale), 1), max(round(height * scale), 1)
    start = time.perf_counter()
    pair = [cv2.resize(image, small, interpolation=cv2.INTER_AREA) for image in (left, right)]
    shrunk = time.perf_counter()
    result = predictor.predict(*pair)
    predicted = time.perf_counter()
    mask = result.tool_mask
    if mask is not None:
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    span = result.disparity_range
    disparity = upsample_disparity(result.disparity, (width, height))
    sigma = result.stddev
    if sigma is not None:
        sigma = np.where(
            np.isnan(disparity), disparity, upsample_disparity(sigma, (width, height))
        )
    resize = shrunk - start + time.perf_counter() - predicted
    return replace(
        result,
        disparity=disparity,
        stddev=sigma,
        tool_mask=mask,
        disparity_range=span and (span[0] * width / small[0], span[1] * width / small[0]),
        disparity_step=result.disparity_step * width / small[0],
        milliseconds={**result.milliseconds, 'resize': 1000 * resize},
    )


def upsample_disparity(disparity: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge HxW float32 disparity to size (width, height) and to px of that size.

    Bilinear on surfaces; the nearest value at steps of more than 1 px and beside NaN, because a
    blend across an edge would be a point that floats in the air.
    """
    linear = cv2.resize(disparity, size, interpolation=cv2.INTER_LINEAR)
    nearest = cv2.resize(disparity, size, interpolation=cv2.INTER_NEAREST_EXACT)
    smooth = np.abs(linear - nearest) < 1
    return np.where(smooth, linear, nearest) * np.float32(size[0] / disparity.shape[1])
