"""The class of every pixel."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from surgseg_ros import predictors
from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.geometry.content_area import ContentFinder
from surgseg_ros.networks.bundled import are_bundled
from surgseg_ros.perception.content import cropped, semantic_in_frame
from surgseg_ros.perception.network import NetworkSettings
from surgseg_ros.perception.settings import setting
from surgseg_ros.perception.step import Step
from surgseg_ros.predictors.protocols import SemanticPredictor
from surgseg_ros.predictors.regions import AS_PUBLISHED, RegionRules
from surgseg_ros.rosdata.messages import NANOSECONDS

if TYPE_CHECKING:
    from surgseg_ros.predictors.surgicalsam import SurgicalSamPredictor

SURGICALSAM = 'surgicalsam'
# measured with the weights of the package on real frames and simulated ones: docs/accuracy.md
BUNDLED_RULES = RegionRules(pixel=0.7, region=0.955, least=0.002)
# the settings that mean something to no other network
SURGICALSAM_SETTINGS = (
    'sam_weights',
    'classes',
    'quality_threshold',
    'presence_threshold',
    'encode_every',
    'asynchronous',
    'max_feature_age',
    'encoder_size',
)


@dataclass(frozen=True)
class SemanticSettings(NetworkSettings):
    """What SemanticStep does; see settings.setting."""

    model: str = setting('lwanet', 'network', choices=predictors.semantic())
    weights: str | None = setting(
        None, 'checkpoint of the network', unset='', absent='those that come with the package'
    )
    class_names: tuple[str, ...] | None = setting(
        None, 'names by class id, background first', unset=('',), absent='what the weights say'
    )
    outside_label: int = setting(
        0, 'label outside of content_area: 0 background or 255 unlabelled', range=(0, 255)
    )
    pixel_threshold: float | None = setting(
        None,
        'LWANet: least probability of being any instrument for a pixel to count as one; '
        'published: 0, which takes the most probable class',
        range=(0.0, 0.999),
        live=True,
        unset=-1.0,
        absent='0.7 for the weights of the package, else 0',
    )
    foreground_threshold: float | None = setting(
        None,
        'LWANet: least mean probability of a connected region of instruments; published: 0, which '
        'keeps all',
        range=(0.0, 0.999),
        live=True,
        unset=-1.0,
        absent='0.955 for the weights of the package, else 0',
    )
    least_region: float | None = setting(
        None,
        'LWANet: least size of a connected region of instruments, as a share of the picture',
        range=(0.0, 1.0),
        live=True,
        unset=-1.0,
        absent='0.002 for the weights of the package, else 0',
    )
    one_type: bool = setting(
        True,
        'LWANet, with a foreground_threshold: a connected region is one instrument and gets the '
        'type of most of its pixels; not for classes of parts',
        live=True,
    )
    sam_weights: str | None = setting(
        None,
        'SurgicalSAM: the SAM checkpoint beside published weights',
        unset='',
        absent='the weights have its encoder',
    )
    classes: tuple[int, ...] | None = setting(
        None,
        'SurgicalSAM: class ids to look for',
        range=(1, 254),
        live=True,
        unset=(0,),
        absent='all',
    )
    quality_threshold: float | None = setting(
        None,
        'SurgicalSAM: least predicted quality of a mask',
        range=(0.0, 1.0),
        live=True,
        unset=-1.0,
        absent='what the weights say',
    )
    presence_threshold: float | None = setting(
        None,
        'SurgicalSAM: least presence score of a class',
        range=(0.0, 1.0),
        live=True,
        unset=-1.0,
        absent='what the weights say',
    )
    encode_every: int = setting(
        1,
        'SurgicalSAM: number of frames that share the features of one',
        range=(1, 1000),
        live=True,
    )
    asynchronous: bool = setting(
        False,
        'SurgicalSAM: frames never wait for new features; the age of the features is in the '
        'diagnostics',
        live=True,
    )
    max_feature_age: float = setting(
        1.0,
        'SurgicalSAM: largest age of the features, s; frames that would need older ones are '
        'rejected; 0: no limit',
        range=(0.0, 1000.0),
        live=True,
    )
    encoder_size: int | None = setting(
        None,
        'SurgicalSAM: px of the image that the encoder sees; smaller is faster',
        range=(1, 1024),
        unset=0,
        absent='what the weights say',
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outside_label not in (0, 255):
            raise ValueError(f'outside_label is {self.outside_label}, expected 0 or 255')

    @property
    def rules(self) -> RegionRules:
        """Which regions of LWANet are kept, and as which class."""
        own = BUNDLED_RULES if are_bundled(self.model, self.weights) else AS_PUBLISHED
        region = _first(self.foreground_threshold, own.region)
        return RegionRules(
            _first(self.pixel_threshold, own.pixel),
            region,
            _first(self.least_region, own.least),
            self.one_type and region > 0,
        )


@runtime_checkable
class _Ruled(Protocol):
    """A predictor that selects among the regions it finds in a picture: LWANet."""

    rules: RegionRules


class SemanticStep(Step[SemanticSettings]):
    """left image -> SemanticResult.

    predictor: used instead of the one that the settings name. class_names: by class id.
    options: more for predictors.create. content: the content area of the frames. feature_age: of
    the last frame, how many frames and seconds the features were older; None before the first.
    Raises what predictors.create raises.
    """

    def __init__(
        self,
        settings: SemanticSettings,
        predictor: SemanticPredictor | None = None,
        **options: Any,
    ) -> None:
        super().__init__(settings)
        self._predictor = predictor or _create(settings, options)
        self.class_names: tuple[str, ...] = tuple(self._predictor.class_names)
        self.content = ContentFinder(settings.content_area)
        self.forget()

    def prepare(self, height: int, width: int) -> None:
        """Predict once, so that the first frame does not wait for compilers and caches."""
        self._tune()
        self._predictor.predict(np.zeros((height, width, 3), np.uint8))
        self.reset()

    def forget(self) -> None:
        """Forget the features of earlier frames."""
        self._stamps: deque[int] = deque(maxlen=10_000)  # of the frames of this scene, ns
        self.feature_age: tuple[int, float] | None = None
        if self.settings.model == SURGICALSAM:
            self._predictor.reset()

    def __call__(
        self,
        frame: LeftFrame,
        probabilities: bool = False,
        class_ids: Collection[int] | None = None,
    ) -> SemanticResult:
        """Label a frame.

        probabilities: compute them, too. class_ids: those that a SurgicalSAM of mode 'published'
        is asked for. Raises ValueError where the image is none, or its features are too old.
        """
        self.observe(frame)
        self._tune()
        asked: dict[str, Any] = {'probabilities': True} if probabilities else {}
        if class_ids is not None:
            asked['class_ids'] = class_ids
        area = self.content.update(frame.left)
        if isinstance(self._predictor, _Ruled) and not area.full:
            asked['content'] = cropped(area.mask, area.box)
        result = self._predictor.predict(cropped(frame.left, area.box), **asked)
        self._check_feature_age(frame.stamp, result.feature_age)
        return semantic_in_frame(result, area, self.settings.outside_label)

    def check_classes(self, class_ids: Collection[int]) -> None:
        """Raise ValueError where the weights do not have one of these classes."""
        known = len(self.class_names) - 1
        wrong = [number for number in class_ids if not 1 <= number <= known]
        if wrong:
            raise ValueError(
                f'classes has {wrong[0]}, expected ids from 1 to {known}, or 0 for all'
            )

    def _tune(self) -> None:
        """Apply the live settings."""
        settings, predictor = self.settings, self._predictor
        if isinstance(predictor, _Ruled):
            predictor.rules = settings.rules
        if settings.model != SURGICALSAM:
            return
        sam = cast('SurgicalSamPredictor', predictor)
        sam.classes = settings.classes
        sam.encode_every = settings.encode_every
        sam.asynchronous = settings.asynchronous
        own = sam.own_thresholds
        sam.quality_threshold = _first(settings.quality_threshold, own['quality_threshold'])
        sam.presence_threshold = _first(settings.presence_threshold, own['presence_threshold'])

    def _check_feature_age(self, stamp: int, frames: int) -> None:
        """Raise ValueError if the features came from a frame that is too old."""
        self._stamps.append(stamp)
        then = self._stamps[max(0, len(self._stamps) - 1 - frames)]
        seconds, most = (stamp - then) / NANOSECONDS, self.settings.max_feature_age
        self.feature_age = frames, seconds
        if self.settings.model == SURGICALSAM and 0 < most < seconds:
            raise ValueError(
                f'its features are {seconds:.2f} s older than the frame, expected at '
                f'most max_feature_age = {most:g} s'
            )


def _first(given: float | None, own: float) -> float:
    return own if given is None else given


def _create(settings: SemanticSettings, options: dict[str, Any]) -> SemanticPredictor:
    known = {'weights': settings.weights, 'runtime': settings.runtime(), **options}
    if settings.class_names:
        known['class_names'] = settings.class_names
    if settings.model == SURGICALSAM:
        known |= {'sam_weights': settings.sam_weights, 'encoder_size': settings.encoder_size}
    predictor: SemanticPredictor = predictors.create(settings.model, **known)
    return predictor
