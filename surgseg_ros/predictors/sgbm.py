"""Semi-global matching, OpenCV's StereoSGBM: disparity without weights, on any CPU.

H. Hirschmueller, "Stereo Processing by Semiglobal Matching and Mutual Information", TPAMI 2008,
with Birchfield-Tomasi cost instead of mutual information and three path directions
(MODE_SGBM_3WAY: a quarter of the time of all eight, 0.01 px more error on real tissue).
"""

import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros.backends.runtime import AUTO, Runtime
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.predictors.matching_uncertainty import disparity_stddev
from surgseg_ros.predictors.preprocess import check_pair

# Windows of the left image darker than this, without texture, have nothing to match: grey levels
_DARK_MEAN, _DARK_DEVIATION = 12, 3
_END = 1  # px; a match so near to an end of the search range may be anything beyond it

_NO_NETWORK = {
    'weights': (None, ''),
    'backend': ('auto',),
    'device': ('auto', 'cpu'),
    'precision': ('auto',),
    'threads': (None,),
    'mode': (None, 'disparity'),
    'threshold': (None,),
}


class SgbmPredictor:
    """Disparity of a rectified pair by semi-global matching.

    min_disparity, max_disparity: search range in px of the images given to predict; its length
        is rounded up to the next multiple of 16. max_disparity None: 15 % of the image width,
        which a da Vinci endoscope (4.3 mm baseline) reaches at 24 mm. May be changed at any time.
    block_size: width of the matched window, px, odd; larger is smoother and blurs edges.
    uniqueness: % by which the best match must beat the second best, else the pixel is invalid.
    left_right: px by which the match back from the right view may differ, -1 accepts all.
    speckle_size: patches of equal disparity smaller than this many px are invalid, 0 keeps all.
    stddev: whether to tell how far each disparity may be off; may be changed at any time.

    Invalid (NaN) is also what the right camera cannot see because it lies beyond its image's edge,
    what was found within 1 px of an end of the search range, and dark windows without texture.
    What only a network has (weights, runtime, ...) may be passed while it asks for nothing. There
    is no tool mask, so class_names is empty and threshold means nothing. Raises ValueError for
    what cannot be, TypeError for unknown options.
    """

    class_names: tuple[str, ...] = ()
    threshold: float = 0.5

    def __init__(
        self,
        min_disparity: int = 0,
        max_disparity: int | None = None,
        block_size: int = 7,
        uniqueness: int = 10,
        left_right: int = 1,
        speckle_size: int = 400,
        stddev: bool = True,
        weights: str | Path | None = None,
        runtime: Runtime = AUTO,
        **options: object,
    ) -> None:
        _refuse({'weights': weights, **asdict(runtime), **options})
        if max_disparity is not None and max_disparity <= min_disparity:
            raise ValueError(
                f'max_disparity is {max_disparity}, expected more than min_disparity '
                f'({min_disparity})'
            )
        if block_size < 1 or block_size % 2 == 0:
            raise ValueError(f'block_size is {block_size}, expected an odd number of px')
        self.min_disparity, self.max_disparity = min_disparity, max_disparity
        self.stddev, self._block_size = stddev, block_size
        area = block_size**2
        self._matcher = cv2.StereoSGBM.create(
            minDisparity=min_disparity,
            numDisparities=16,  # set when the image width is known
            blockSize=block_size,
            P1=8 * area,  # price of a step by 1 px between neighbours, and of a larger one:
            P2=32 * area,  # the values OpenCV recommends for one channel
            disp12MaxDiff=left_right,
            preFilterCap=63,
            uniquenessRatio=uniqueness,
            speckleWindowSize=speckle_size,
            speckleRange=1,
            mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
        )

    def prepare(self, height: int, width: int) -> None:
        """Nothing: images of any size are matched at once."""

    def predict(self, left: np.ndarray, right: np.ndarray) -> StereoResult:
        """Match a rectified pair: HxWx3 uint8 RGB each; raises ValueError if they are not."""
        check_pair(left, right)
        start = time.perf_counter()
        low, high = self.search_range(left.shape[1])
        self._matcher.setNumDisparities(high - low)
        grey, grey_right = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
        padded = [_pad(image, low, high) for image in (grey, grey_right)]
        matching = time.perf_counter()
        raw = self._matcher.compute(*padded)
        matched = time.perf_counter()
        disparity = _unpad(raw, left.shape[1], low, high)
        disparity[_dark(grey, self._block_size)] = np.nan
        sigma = disparity_stddev(grey, grey_right, disparity) if self.stddev else None
        end = time.perf_counter()
        milliseconds = {
            'preprocess': 1000 * (matching - start),
            'inference': 1000 * (matched - matching),
            'postprocess': 1000 * (end - matched),
        }
        return StereoResult(
            disparity,
            milliseconds=milliseconds,
            disparity_range=(low, high),
            disparity_step=1 / 16,
            stddev=sigma,
        )

    def search_range(self, width: int) -> tuple[int, int]:
        """Return lowest and highest disparity searched on images of this width, px."""
        highest = self.max_disparity
        if highest is None:
            highest = self.min_disparity + max(round(0.15 * width), 1)
        steps = -(-(highest - self.min_disparity) // 16)
        return self.min_disparity, self.min_disparity + 16 * steps


def _pad(grey: np.ndarray, low: int, high: int) -> np.ndarray:
    """Widen by the search range, inside which StereoSGBM leaves the borders empty."""
    return cv2.copyMakeBorder(grey, 0, 0, max(high, 0), max(-low, 0), cv2.BORDER_REPLICATE)


def _unpad(raw: np.ndarray, width: int, low: int, high: int) -> np.ndarray:
    """Sixteenths of px to float32 px, NaN where nothing was found or could be found."""
    before = max(high, 0)
    raw = raw[:, before : before + width]
    disparity = raw.astype(np.float32) / 16
    matched = np.arange(width, dtype=np.float32) - disparity
    # A match in the padding is no measurement: the right camera does not see that point.
    ends = (disparity < low + _END) | (disparity > high - 1 - _END)
    disparity[ends | (matched < 0) | (matched > width - 1)] = np.nan
    return disparity


def _dark(grey: np.ndarray, block_size: int) -> np.ndarray:
    """Where the window around a pixel of HxW uint8 is dark and without texture: HxW bool."""
    size = (max(block_size, 3),) * 2  # a single pixel has no texture
    mean = cv2.boxFilter(grey, cv2.CV_32F, size)
    variance = cv2.sqrBoxFilter(grey, cv2.CV_32F, size) - mean**2
    return (mean < _DARK_MEAN) & (variance < _DARK_DEVIATION**2)


def _refuse(options: dict[str, object]) -> None:
    for name, value in options.items():
        if name not in _NO_NETWORK:
            raise TypeError(f'sgbm has no option {name!r}')
        if value not in _NO_NETWORK[name]:
            raise ValueError(
                f'sgbm is no network and runs in OpenCV on the CPU: {name}={value!r} '
                'makes no sense for it, leave it out'
            )
