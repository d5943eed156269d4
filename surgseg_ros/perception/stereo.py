"""Disparity, and tool masks where the model has them, of a rectified pair."""

import math
from dataclasses import dataclass, replace
from typing import Any

from surgseg_ros import networks, predictors
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.rectification import align_principal_points, true_disparity
from surgseg_ros.perception.network import NetworkSettings
from surgseg_ros.perception.settings import setting
from surgseg_ros.perception.step import Step
from surgseg_ros.predictors.protocols import StereoPredictor
from surgseg_ros.predictors.scaling import predict_scaled

# what a network finds in each mode
MODES = {
    'multitask': ('disparity', 'tool_mask'),
    'disparity': ('disparity',),
    'segmentation': ('tool_mask',),
}


@dataclass(frozen=True)
class StereoSettings(NetworkSettings):
    """What StereoStep does; see settings.setting."""

    model: str = setting('sgbm', 'stereo matcher', choices=predictors.stereo())
    weights: str | None = setting(
        None, 'checkpoint of a network', unset='', absent='sgbm needs none'
    )
    mode: str = setting(
        'auto',
        'what a network finds: disparity, tool masks or, auto, both',
        choices=('auto', *MODES),
    )
    tool_threshold: float = setting(
        0.5, 'probability above which a pixel is a tool', range=(0.001, 0.999), live=True
    )
    max_disparity: int | None = setting(
        None,
        'largest disparity searched by sgbm, in full-resolution px',
        range=(1, 1024),
        unset=0,
        absent='15 % of the image width',
    )
    scale: float = setting(
        1.0, 'size at which the model sees the images; outputs stay full-size', range=(0.1, 1.0)
    )

    @property
    def finds(self) -> tuple[str, ...]:
        """Which of 'disparity' and 'tool_mask' the results have."""
        if self.model not in networks.available():
            return ('disparity',)
        return MODES['multitask' if self.mode == 'auto' else self.mode]


class StereoStep(Step[StereoSettings]):
    """rectified pair -> StereoResult, full-size, without cx_left - cx_right, NaN unknown.

    Without calibration, disparity is x_left - x_right as matched. class_names: of the tool mask.
    Raises what predictors.create raises.
    """

    def __init__(self, settings: StereoSettings) -> None:
        super().__init__(settings)
        self._predictor = _create(settings)
        self.class_names = (
            networks.spec(settings.model).class_names if 'tool_mask' in settings.finds else ()
        )

    def prepare(self, height: int, width: int) -> None:
        """Load a network for images of this size, so that the first frame does not wait."""
        scale = self.settings.scale
        self._predictor.prepare(round(height * scale), round(width * scale))

    def __call__(self, frame: StereoFrame) -> StereoResult:
        """Match one pair; raises ValueError where it is none."""
        self.observe(frame)
        settings, calibration = self.settings, frame.calibration
        self._predictor.threshold = settings.tool_threshold
        if calibration is None:
            return predict_scaled(self._predictor, frame.left, frame.right, settings.scale)
        right = align_principal_points(frame.right, calibration)
        result = predict_scaled(self._predictor, frame.left, right, settings.scale)
        return replace(result, disparity=true_disparity(result.disparity, calibration))


def _create(settings: StereoSettings) -> StereoPredictor:
    options: dict[str, Any] = {'weights': settings.weights, 'runtime': settings.runtime()}
    if settings.model in networks.available():
        options['mode'] = 'multitask' if settings.mode == 'auto' else settings.mode
    else:
        options['mode'] = None if settings.mode == 'auto' else settings.mode
        most = settings.max_disparity
        options['max_disparity'] = None if most is None else math.ceil(most * settings.scale)
    predictor: StereoPredictor = predictors.create(settings.model, **options)
    return predictor
