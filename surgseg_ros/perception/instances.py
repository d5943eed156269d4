"""Separate instruments, with parts and track ids."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surgseg_ros import predictors
from surgseg_ros.frames.results import MAX_OVERLAP, InstanceResult
from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.geometry.content_area import ContentArea, ContentFinder
from surgseg_ros.networks.bundled import are_bundled, bundled_weights
from surgseg_ros.perception.content import cropped, instances_in_frame
from surgseg_ros.perception.network import NetworkSettings
from surgseg_ros.perception.semantic import SemanticSettings
from surgseg_ros.perception.settings import setting
from surgseg_ros.perception.step import Step
from surgseg_ros.predictors import InstancePredictor
from surgseg_ros.predictors.parts import PartsPredictor
from surgseg_ros.rosdata.messages import NANOSECONDS
from surgseg_ros.tracking.instance_tracker import InstanceTracker


@dataclass(frozen=True)
class InstanceSettings(NetworkSettings):
    """What InstanceStep does; see settings.setting."""

    model: str = setting('solo_mobilenet', 'network', choices=predictors.instance())
    weights: str | None = setting(
        None, 'checkpoint of the network', unset='', absent='those that come with the package'
    )
    class_names: tuple[str, ...] | None = setting(
        None, 'names by class id, background first', unset=('',), absent='what the weights say'
    )
    score_threshold: float = setting(
        0.3,
        'lowest class score of a candidate; published for SOLO: 0.1',
        range=(0.0, 1.0),
        live=True,
    )
    final_threshold: float | None = setting(
        None,
        'lowest final score of an instance; SOLO lowers the scores of duplicates, '
        'and the published value 0.05 keeps most of these, which favours AP',
        range=(0.0, 1.0),
        live=True,
        unset=-1.0,
        absent='score_threshold',
    )
    max_overlap: float = setting(
        MAX_OVERLAP,
        'IoU of two instances of any class above which the one with the lower score is dropped; '
        'published: 1, which keeps all',
        range=(0.0, 1.0),
        live=True,
    )
    max_instances: int = setting(20, 'per image; the best ones', range=(1, 100), live=True)
    parts_weights: str | None = setting(
        None,
        'checkpoint of an LWANet with the classes shaft, wrist and clasper, which adds parts '
        'to the masks of instances',
        unset='',
        absent='they are UNKNOWN_PART',
    )
    confirm_weights: str | None = setting(
        'auto',
        'checkpoint of an LWANet that has to confirm instances as instruments; auto: the bundled '
        'one if the instance network is the bundled one',
        unset='',
        absent='every instance counts',
    )
    confirm_share: float = setting(
        0.5,
        'least share of the pixels of an instance that confirm_weights labels as instruments',
        range=(0.0, 1.0),
        live=True,
    )
    tracking: bool = setting(
        True, 'give an instrument the same track_id in every image; if false, all are 0', live=True
    )
    max_gap: int = setting(
        10,
        'longest gap, in images, after which an instrument still gets its track_id back',
        range=(0, 1000),
        live=True,
    )


# settings with which nothing is selected that average precision takes, as published for SOLO
AS_PUBLISHED: dict[str, Any] = {
    'final_threshold': 0.05,
    'max_overlap': 1.0,
    'max_instances': 100,
    'confirm_weights': None,
}


class InstanceStep(Step[InstanceSettings]):
    """left image -> InstanceResult: the best instances, each instrument once, with track ids.

    predictor: used instead of the one that the settings name. class_names: by
    class id. options: more for predictors.create. content: the content area of the frames.
    Raises what predictors.create raises.
    """

    def __init__(
        self,
        settings: InstanceSettings,
        predictor: InstancePredictor | None = None,
        **options: object,
    ) -> None:
        super().__init__(settings)
        self._predictor = predictor or _create(settings, options)
        self.class_names: tuple[str, ...] = tuple(self._predictor.class_names)
        self._parts: PartsPredictor | None = None
        if settings.parts_weights:
            self._parts = PartsPredictor.from_weights(
                self._predictor, settings.parts_weights, runtime=settings.runtime()
            )
        self._confirming = None if predictor else _confirming(settings)
        self.content = ContentFinder(settings.content_area)
        self._tracker = InstanceTracker()

    @property
    def validation_threshold(self) -> float:
        """The score_threshold with which training validates such a network."""
        return float(self._predictor.validation_threshold)

    def prepare(self, height: int, width: int) -> None:
        """Predict once, so that the first frame does not wait for compilers and caches."""
        for other in (self._parts, self._confirming):
            if other:
                other.prepare(height, width)
        self._predictor.predict(np.zeros((height, width, 3), np.uint8))

    def forget(self) -> None:
        """Forget the tracks; the next new id is 1."""
        self._tracker.reset()

    def __call__(self, frame: LeftFrame, parts: bool = True) -> InstanceResult:
        """Find, select and track the instances of a frame.

        parts: add them, where `parts_weights` were given. track_ids are None without `tracking`.
        Raises ValueError where the image is none.
        """
        self.observe(frame)
        area = self.content.update(frame.left)
        image = cropped(frame.left, area.box)
        result = self._confirm(image, area, self._select(image))
        if parts and self._parts:
            result = self._parts.add_parts(image, result)
        result = instances_in_frame(result, area)
        if self.settings.tracking:
            return self._track(frame.stamp, result)
        self._tracker.reset()
        return result

    def _select(self, image: np.ndarray) -> InstanceResult:
        settings = self.settings
        final = settings.final_threshold
        final = settings.score_threshold if final is None else final
        self._predictor.score_threshold = settings.score_threshold
        self._predictor.final_threshold = final
        self._predictor.max_instances = settings.max_instances
        result = self._predictor.predict(image)
        return result.best(settings.max_instances, final).distinct(settings.max_overlap)

    def _confirm(
        self, image: np.ndarray, area: ContentArea, result: InstanceResult
    ) -> InstanceResult:
        """Drop instances that the other network does not confirm as instruments."""
        if not self._confirming or not len(result.scores):
            return result
        start = time.perf_counter()
        content = None if area.full else cropped(area.mask, area.box)
        instrument = self._confirming.predict(image, content=content).labels > 0
        least = self.settings.confirm_share
        kept = [i for i, mask in enumerate(result.masks) if instrument[mask].mean() >= least]
        milliseconds = {**result.milliseconds, 'confirm': 1000 * (time.perf_counter() - start)}
        return replace(result.chosen(kept), milliseconds=milliseconds)

    def _track(self, stamp: int, result: InstanceResult) -> InstanceResult:
        start = time.perf_counter()
        self._tracker.max_gap = self.settings.max_gap
        ids = self._tracker.update(stamp / NANOSECONDS, result.class_ids, result.masks)
        milliseconds = {**result.milliseconds, 'track': 1000 * (time.perf_counter() - start)}
        return replace(result, track_ids=ids, milliseconds=milliseconds)


def _confirming(settings: InstanceSettings) -> Any:
    """The LWANet that confirms instances, or None."""
    weights: Any = settings.confirm_weights
    if weights == 'auto':
        ours = are_bundled(settings.model, settings.weights)
        weights = bundled_weights('lwanet') if ours else None
    if not weights:
        return None
    predictor: Any = predictors.create('lwanet', weights=weights, runtime=settings.runtime())
    predictor.rules = SemanticSettings(weights=str(weights)).rules
    return predictor


def _create(settings: InstanceSettings, options: Mapping[str, object]) -> InstancePredictor:
    names: dict[str, object] = (
        {'class_names': settings.class_names} if settings.class_names else {}
    )
    predictor: InstancePredictor = predictors.create(
        settings.model, weights=settings.weights, runtime=settings.runtime(), **names, **options
    )
    return predictor
