"""MSDESIS on numpy images: disparity and tool mask of a rectified pair (see networks/msdesis)."""

import math
from pathlib import Path

import numpy as np

from surgseg_ros import networks
from surgseg_ros.backends.prepared import PreparedBackend
from surgseg_ros.backends.runtime import AUTO, Runtime
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.frames.stages import Stages
from surgseg_ros.predictors.finite import check_finite
from surgseg_ros.predictors.preprocess import Normaliser, check_pair
from surgseg_ros.predictors.weights import existing_weights

_INPUTS = {
    'multitask': ('left', 'right'),
    'disparity': ('left', 'right'),
    'segmentation': ('left',),
}


class MsdesisPredictor:
    """Disparity and tool mask by one of the two published networks.

    name: 'msdesis_light' or 'msdesis_resnet34'. weights: its checkpoint. runtime: see
    Runtime. mode: 'multitask', 'disparity' (tool_mask is
    None) or 'segmentation' (disparity is all NaN). max_disparity: px, that of the training.
    threshold: probability above which a pixel is a tool; may be changed at any time.

    The network is trained on positive disparities only; other values are no
    measurements and become NaN. Images may have any size. A backend is made for the first size
    that comes (seconds where nothing is cached; see prepare), and again when the size changes.
    """

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        runtime: Runtime = AUTO,
        mode: str = 'multitask',
        max_disparity: int = 320,
        threshold: float = 0.5,
    ) -> None:
        if mode not in _INPUTS:
            raise ValueError(f'mode is {mode!r}, expected one of {", ".join(_INPUTS)}')
        self._name, self._spec = name, networks.spec(name)
        options = {'mode': mode, 'max_disparity': max_disparity}
        self._backend_for = PreparedBackend(
            name, existing_weights(name, weights), options, runtime
        )
        self.class_names = self._spec.class_names
        self._mode, self._size, self._highest = mode, (0, 0), float(max_disparity)
        self.threshold = threshold

    def prepare(self, height: int, width: int) -> None:
        """Make ready for images of this size; raises what backends.create and exports raise."""
        if (height, width) == self._size:
            return
        self._size = (0, 0)  # of no image, unless all that follows succeeds
        spec = self._spec
        self._normalisers = [
            Normaliser(height, width, spec.mean, spec.std, spec.multiple)
            for _ in _INPUTS[self._mode]
        ]
        shapes = (normaliser.shape for normaliser in self._normalisers)
        self._backend = self._backend_for(**dict(zip(_INPUTS[self._mode], shapes, strict=True)))
        self._size = height, width

    def predict(self, left: np.ndarray, right: np.ndarray) -> StereoResult:
        """Infer a rectified pair: HxWx3 uint8 RGB each; raises ValueError if they are not."""
        check_pair(left, right)
        self.prepare(*left.shape[:2])
        stages = Stages()
        pair = zip(self._normalisers, (left, right), strict=False)
        inputs = [normaliser(image) for normaliser, image in pair]
        stages.done('preprocess')
        outputs = self._backend.run(*inputs)
        check_finite(self._name, outputs)
        stages.done('inference')
        disparity, mask = self._postprocess(outputs)
        stages.done('postprocess')
        span = (0.0, self._highest)
        return StereoResult(disparity, mask, self.class_names, stages.milliseconds, span)

    def _postprocess(
        self, outputs: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Crop the padding away; disparity px or NaN, mask of class ids."""
        height, width = self._size
        planes = [output[0, 0, :height, :width] for output in outputs]
        unknown = np.float32(np.nan)
        if self._mode == 'segmentation':
            disparity = np.full(self._size, unknown)
        else:
            disparity = np.where(planes[0] > 0, planes[0], unknown)
        if self._mode == 'disparity':
            return disparity, None
        return disparity, (planes[-1] > _logit(self.threshold)).astype(np.uint8)


def _logit(probability: float) -> float:
    """The logit at which the sigmoid has this value."""
    if not 0 < probability < 1:
        raise ValueError(f'threshold is {probability:g}, expected between 0 and 1')
    return math.log(probability / (1 - probability))
