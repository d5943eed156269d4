"""How far a matched disparity may be off: a standard deviation per pixel, from four clues.

What a matcher knows besides the disparity: how well the two windows agree, how much texture they
have, whether the disparity is smooth (an error often is not), and whether a step between surfaces
is near, where windows see both (foreground fattening). The logarithm of sigma is linear in the
logarithms of these; the weights are fitted by quantile regression (Koenker, Bassett, Econometrica
46, 1978) to the absolute errors on simulated frames, so that two thirds of them are below sigma:
`surgseg fit-uncertainty` prints them.

How unique the match is (the curvature of the cost around its minimum) added nothing in that fit
beside texture and agreement.
"""

import cv2
import numpy as np

WINDOW = 7  # px, in which the images are compared
NEIGHBOURHOOD = 15  # px, in which a step counts as near
# added to each clue before its logarithm, which so counts less near 0; and the fitted weights
_OFFSETS = 0.5, 0.3, 0.1, 0.1
CONSTANT, WEIGHTS = -0.562, (0.473, -0.152, 0.598, 0.262)
LEAST = 0.05  # px; no match of 8-bit images is known better


def disparity_stddev(left: np.ndarray, right: np.ndarray, disparity: np.ndarray) -> np.ndarray:
    """Standard deviation of a disparity: HxW float32 px, NaN where the disparity is.

    left, right: HxW uint8 grey, rectified. disparity: HxW float32 px (x_left - x_right), of left.
    """
    clues = logarithms(left, right, disparity)
    total = np.full(disparity.shape, CONSTANT, np.float32)
    for clue, weight in zip(clues, WEIGHTS, strict=True):
        cv2.scaleAdd(clue, weight, total, dst=total)
    sigma = np.maximum(cv2.exp(total), np.float32(LEAST))
    sigma[np.isnan(disparity)] = np.nan
    return sigma


def logarithms(left: np.ndarray, right: np.ndarray, disparity: np.ndarray) -> list[np.ndarray]:
    """The clues, each HxW float32: logarithms of residual, texture, roughness and step."""
    known = np.isfinite(disparity)
    clues = (
        _residual(left, right, np.where(known, disparity, np.float32(0))),
        _texture(left),
        _roughness(disparity, known),
        _step(disparity, known),
    )
    return [
        cv2.log(clue + np.float32(offset)) for clue, offset in zip(clues, _OFFSETS, strict=True)
    ]


def _residual(left: np.ndarray, right: np.ndarray, disparity: np.ndarray) -> np.ndarray:
    """Mean difference of the grey levels of both windows."""
    height, width = left.shape
    columns = np.arange(width, dtype=np.float32) - disparity
    rows = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    matched = cv2.remap(right, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _mean(cv2.absdiff(left, matched).astype(np.float32))


def _texture(left: np.ndarray) -> np.ndarray:
    """Mean difference of grey levels between columns, because matching moves along rows."""
    return _mean(np.abs(cv2.Sobel(left, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)))


def _roughness(disparity: np.ndarray, known: np.ndarray) -> np.ndarray:
    """How far a disparity is from the mean of those in its window, px."""
    share = np.maximum(_mean(known.astype(np.float32)), np.float32(1e-3))
    filled = np.where(known, disparity, np.float32(0))
    roughness: np.ndarray = np.abs(filled - _mean(filled) / share) * known
    return roughness


def _step(disparity: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The range of disparities in the neighbourhood, px."""
    kernel, far = np.ones((NEIGHBOURHOOD, NEIGHBOURHOOD), np.uint8), np.float32(1e6)
    highest = cv2.dilate(np.where(known, disparity, -far), kernel)
    lowest = cv2.erode(np.where(known, disparity, far), kernel)
    step: np.ndarray = np.maximum(highest - lowest, np.float32(0))
    return step


def _mean(values: np.ndarray) -> np.ndarray:
    return cv2.blur(values, (WINDOW, WINDOW))
