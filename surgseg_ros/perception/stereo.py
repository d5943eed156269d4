"""Disparity, and tool masks where the model has them, of a rectified pair."""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from surgseg_ros import networks, predictors
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.content_area import ContentFinder
from surgseg_ros.geometry.rectification import align_principal_points, true_disparity
from surgseg_ros.perception.content import box_of_both, cropped, only_matched_in, stereo_in_frame
from surgseg_ros.perception.network import NetworkSettings
from surgseg_ros.perception.settings import setting
from surgseg_ros.perception.step import Step
from surgseg_ros.predictors.protocols import StereoPredictor
from surgseg_ros.predictors.scaling import predict_scaled, scale_for

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
        'what a network computes: disparity, tool masks or, with auto, both',
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
    scale: float | None = setting(
        None,
        'size at which the model sees the images; outputs stay full-size',
        range=(0.1, 1.0),
        unset=0.0,
        absent='for sgbm 1 up to 800 px width, else 640 / width in quarters; 1 for networks',
    )
    assumed_stddev: float | None = setting(
        None,
        'standard deviation of every disparity, px, for models that do not estimate it',
        range=(0.01, 100.0),
        live=True,
        unset=0.0,
        absent='unknown',
    )

    @property
    def finds(self) -> tuple[str, ...]:
        """Which of 'disparity' and 'tool_mask' the results have."""
        if self.model not in networks.available():
            return ('disparity',)
        return MODES['multitask' if self.mode == 'auto' else self.mode]

    @property
    def tells_stddev(self) -> bool:
        """Whether the results have a standard deviation of the disparity."""
        return self.model == 'sgbm' or self.assumed_stddev is not None

    def scale_of(self, width: int) -> float:
        """Size at which the model sees images of this width."""
        if self.scale is not None:
            return self.scale
        return scale_for(width) if self.model == 'sgbm' else 1.0


@runtime_checkable
class _Searching(Protocol):
    """A matcher with a search range, px of the images that it is given."""

    max_disparity: int | None


class StereoStep(Step[StereoSettings]):
    """rectified pair -> StereoResult, full-size, without cx_left - cx_right, NaN unknown.

    Without calibration, disparity is x_left - x_right as matched. class_names: of the tool mask.
    content: the content area of the left images. Raises what predictors.create raises.
    """

    def __init__(self, settings: StereoSettings) -> None:
        super().__init__(settings)
        self.content = ContentFinder(settings.content_area)
        self._right_content = ContentFinder(settings.content_area)
        self._predictor = _create(settings)
        self.class_names = (
            networks.spec(settings.model).class_names if 'tool_mask' in settings.finds else ()
        )

    def prepare(self, height: int, width: int) -> None:
        """Load a network for images of this size, so that the first frame does not wait."""
        scale = self.settings.scale_of(width)
        self._predictor.prepare(round(height * scale), round(width * scale))

    def __call__(self, frame: StereoFrame) -> StereoResult:
        """Match one pair; raises ValueError where it is none."""
        self.observe(frame)
        settings = self.settings
        self._predictor.threshold = settings.tool_threshold
        result = self._match(frame)
        if result.stddev is None and settings.assumed_stddev is not None:
            sigma = result.disparity * 0 + np.float32(settings.assumed_stddev)
            result = replace(result, stddev=sigma)
        return result

    def _match(self, frame: StereoFrame) -> StereoResult:
        """Match the part of the picture that both cameras show."""
        calibration, right = frame.calibration, frame.right
        areas = self.content.update(frame.left), self._right_content.update(right)
        if calibration is not None:
            right = align_principal_points(right, calibration)
        box = (0, 0, *right.shape[1::-1]) if areas[0].full else box_of_both(*areas)
        left, right = (cropped(image, box) for image in (frame.left, right))
        scale, most = self.settings.scale_of(left.shape[1]), self.settings.max_disparity
        if isinstance(self._predictor, _Searching) and most is not None:
            self._predictor.max_disparity = math.ceil(most * scale)
        result = predict_scaled(self._predictor, left, right, scale)
        result = stereo_in_frame(result, areas[0], box)
        offset = 0.0
        if calibration is not None:
            offset = calibration.principal_offset
            result = replace(result, disparity=true_disparity(result.disparity, calibration))
        return only_matched_in(areas[1], result, offset)


def _create(settings: StereoSettings) -> StereoPredictor:
    options: dict[str, Any] = {'weights': settings.weights, 'runtime': settings.runtime()}
    if settings.model in networks.available():
        options['mode'] = 'multitask' if settings.mode == 'auto' else settings.mode
    else:
        options['mode'] = None if settings.mode == 'auto' else settings.mode
    predictor: StereoPredictor = predictors.create(settings.model, **options)
    return predictor
