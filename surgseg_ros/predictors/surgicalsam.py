"""SurgicalSAM on one's own frames: no class ids from the ground truth, no features from elsewhere.

See networks/surgicalsam. The published evaluation prompts each frame with the classes that its
ground truth has; mode='published' does the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros import networks
from surgseg_ros.backends.model import Backend
from surgseg_ros.backends.prepared import PreparedBackend
from surgseg_ros.backends.runtime import AUTO, Runtime
from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.frames.stages import Stages
from surgseg_ros.networks.card import Card
from surgseg_ros.networks.sam_canvas import CHANNELS, GRID, IMAGE_SIZE, MASK_SCALE, check_canvas
from surgseg_ros.predictors.feature_stream import FeatureStream
from surgseg_ros.predictors.finite import check_finite
from surgseg_ros.predictors.preprocess import check_image
from surgseg_ros.predictors.sam_input import SamInput
from surgseg_ros.predictors.surgicalsam_masks import TEMPERATURE, MaskScaler, accepted, presence
from surgseg_ros.predictors.weights import (
    card_of,
    existing_weights,
    names_of_classes,
    where_published,
)

_PUBLISHED = {'encoder': 'vit_h', 'num_tokens': 2, 'num_classes': 7, 'grid': GRID}
# the published weights with 4 tokens were trained on EndoVis 2017, those with 2 on EndoVis 2018
_ENDOVIS_2017 = (
    'background',
    'Bipolar Forceps',
    'Prograsp Forceps',
    'Large Needle Driver',
    'Vessel Sealer',
    'Grasping Retractor',
    'Monopolar Curved Scissors',
    'Other',
)


@dataclass(frozen=True)
class SurgicalSamResult(SemanticResult):
    """scores: predicted quality (IoU), presence: see SurgicalSamPredictor; of all classes tried.

    probabilities: each class by itself, 0 where it was rejected; they do not sum to 1. That of
    the background is 1 - the greatest other.
    """

    presence: dict[int, float] = field(default_factory=dict)


class SurgicalSamPredictor:
    """Tries every class on every frame, and shows those that are there.

    name: 'surgicalsam'. weights: a .safetensors file with a card (surgseg models import), or the
    published model_ckp.pth. sam_weights: the checkpoint of the SAM that they were trained upon,
    where they have no encoder, like model_ckp.pth and most of our own. For a file without a card,
    encoder, num_tokens, num_classes and class_names say what they are (default: vit_h, EndoVis
    2018). runtime: see Runtime.

    Mode 'all': every class, or those in `classes`, is prompted, in one batch. A class is there if
    its mask is not empty, its predicted quality at least quality_threshold and its presence at
    least presence_threshold. Presence is how sure the mask is, times how much the features inside
    resemble the prototype of its class rather than another's (surgicalsam_masks.presence), at the
    temperature of the training, which the card tells (0.07 as published): the quality says whether
    a mask fits something, the presence whether that is an instrument of this class. What is not
    given is what the weights say (own_thresholds), else 0.5.
    Mode 'published': predict(image, class_ids=...) prompts the given classes and rejects
    none. In both, masks are painted by ascending quality, the best on top.

    Real time: encode_every=k computes features of every k-th frame, asynchronous=True in a thread,
    so that no frame but the first waits for them; every frame is decoded, with feature_age in the
    result. encoder_size < 1024 (px, a multiple of 16) shows the encoder a smaller image: exact
    for weights trained with it (the card's details tell, and are the default), an approximation
    for others. A decoder of fewer classes is faster.

    classes, mode, the thresholds, encode_every and asynchronous may be changed at any time;
    another number of classes needs another export (seconds, once per machine).
    """

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        sam_weights: str | Path | None = None,
        runtime: Runtime = AUTO,
        mode: str = 'all',
        classes: Collection[int] | None = None,
        quality_threshold: float | None = None,
        presence_threshold: float | None = None,
        encode_every: int = 1,
        asynchronous: bool = False,
        encoder_size: int | None = None,
        encoder: str | None = None,
        num_tokens: int | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        self._name, self._spec = name, networks.spec(name)
        self._weights, self._base = _existing(name, weights, sam_weights)
        card = card_of(name, self._weights) or Card(name, _PUBLISHED)
        self._options = _options(
            card, encoder=encoder, num_tokens=num_tokens, num_classes=num_classes
        )
        if not (card.options.get('encoder') or self._base):
            raise ValueError(
                f'{self._weights} has no image encoder: expected sam_weights beside it, the '
                f'checkpoint with the {self._options["encoder"]} that it was trained upon'
            )
        self.class_names = names_of_classes(
            tuple(class_names) or card.class_names,
            _published_names(name, self._options['num_tokens']),
            self._options['num_classes'] + 1,
        )
        self._canvas = encoder_size or card.details.get('encoder_size', IMAGE_SIZE)
        check_canvas(self._canvas)
        self._temperature = card.details.get('temperature', TEMPERATURE)
        self._encoders = PreparedBackend(name, self._weights, self._options, runtime, self._base)
        self._decoders = PreparedBackend(  # of as many classes at a time as have been asked for
            name, self._weights, {**self._options, 'encoder': None}, runtime, self._base, kept=None
        )
        own = self.own_thresholds = {
            name: _first(card.details.get(name), 0.5)
            for name in ('quality_threshold', 'presence_threshold')
        }
        self.quality_threshold = _first(quality_threshold, own['quality_threshold'])
        self.presence_threshold = _first(presence_threshold, own['presence_threshold'])
        self.mode, self.classes = mode, classes
        self._stream = FeatureStream(self._encode, encode_every, asynchronous)
        self._size = (0, 0)

    @property
    def encode_every(self) -> int:
        """Of how many frames one is encoded."""
        return self._stream.every

    @encode_every.setter
    def encode_every(self, frames: int) -> None:
        if frames < 1:
            raise ValueError(f'encode_every is {frames}, expected at least 1')
        self._stream.every = frames

    @property
    def asynchronous(self) -> bool:
        """Whether features are computed beside the frames."""
        return self._stream.asynchronous

    @asynchronous.setter
    def asynchronous(self, beside: bool) -> None:
        self._stream.asynchronous = beside

    def reset(self) -> None:
        """Forget the features: the next frame shows another scene."""
        self._stream.reset()

    def prepare(self, height: int, width: int) -> None:
        """Make ready for frames of this size; raises what backends.create and exports raise."""
        self._encoder = self._encoders(image=(1, 3, self._canvas, self._canvas))
        self._decoder(len(self._prompted(None if self.mode == 'all' else [1])))
        if (height, width) != self._size:
            self._stream.reset()
            self._scaler = MaskScaler(height, width, self._options['grid'])
            self._input = SamInput(height, width, self._spec.mean, self._spec.std, self._canvas)
            self._size = height, width

    def predict(
        self,
        image: np.ndarray,
        probabilities: bool = False,
        class_ids: Collection[int] | None = None,
    ) -> SurgicalSamResult:
        """Segment one frame, HxWx3 uint8 RGB.

        class_ids: those that are in the frame, by the ground truth; for mode 'published' only.
        Raises ValueError for another image, mode or class.
        """
        check_image(image)
        prompted = self._prompted(class_ids)
        self.prepare(*image.shape[:2])
        stages = Stages()
        features, age = self._stream(image)
        stages.done('encode')
        logits, quality, prototypes = self._decode(features, prompted)
        stages.done('decode')
        there = presence(
            logits, prompted, features[0], prototypes, self._scaler.content, self._temperature
        )
        order = self._accepted(quality, there)
        labels = self._scaler.paint(logits[order], prompted[order])
        planes = self._probabilities(logits[order], prompted[order]) if probabilities else None
        stages.done('postprocess')
        return SurgicalSamResult(
            labels,
            planes,
            self.class_names,
            stages.milliseconds,
            age,
            scores=dict(zip(prompted.tolist(), quality.tolist(), strict=True)),
            presence=dict(zip(prompted.tolist(), there.tolist(), strict=True)),
        )

    def _prompted(self, class_ids: Collection[int] | None) -> np.ndarray:
        """The classes to try, checked."""
        if self.mode not in ('all', 'published'):
            raise ValueError(f"mode is {self.mode!r}, expected 'all' or 'published'")
        if (self.mode == 'published') != (class_ids is not None):
            raise ValueError("class_ids are for mode='published', and that mode needs them")
        known = range(1, self._options['num_classes'] + 1)
        wanted = self.classes if class_ids is None else class_ids
        if wanted is None:
            wanted = known
        if not all(i in known for i in wanted):
            raise ValueError(
                f'class ids are [{", ".join(map(str, wanted))}], expected some of 1 to {known[-1]}'
            )
        return np.array(sorted({int(i) for i in wanted}), np.int64)

    def _decoder(self, prompts: int) -> Backend | None:
        """The decoder of so many classes at once; None of none."""
        if not prompts:
            return None
        grid = self._options['grid']
        return self._decoders(
            features=(1, grid, grid, CHANNELS), prompts=(prompts, self._options['num_classes'])
        )

    def _encode(self, image: np.ndarray) -> np.ndarray:
        (features,) = self._encoder.run(self._input(image))
        check_finite(self._name, [features])
        return features.copy()

    def _decode(
        self, features: np.ndarray, prompted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits N x 256 x 256, quality N, prototypes K x 256 of N prompted classes."""
        classes = self._options['num_classes']
        decoder = self._decoder(len(prompted))
        if decoder is None:
            side = MASK_SCALE * self._options['grid']
            return np.zeros((0, side, side)), np.zeros(0), np.zeros((classes, CHANNELS))
        logits, quality, prototypes = decoder.run(
            features, np.eye(classes, dtype=np.float32)[prompted - 1]
        )
        check_finite(self._name, (logits, quality, prototypes))
        return logits[:, 0], quality, prototypes

    def _accepted(self, quality: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Indices of the masks to paint, by ascending quality."""
        order = np.argsort(quality, kind='stable')
        if self.mode == 'published':
            return order
        good = accepted(quality, there, self.quality_threshold, self.presence_threshold)
        best: np.ndarray = order[good[order]]
        return best

    def _probabilities(self, logits: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
        planes = np.zeros((len(self.class_names), *self._size), np.float32)
        planes[class_ids] = 1 / (1 + np.exp(-self._scaler.upscale(logits)))
        planes[0] = 1 - planes.max(axis=0)
        return planes


def _existing(
    name: str, weights: str | Path | None, sam_weights: str | Path | None
) -> tuple[Path, Path | None]:
    if not weights:
        raise ValueError(
            f'{name} needs weights: {where_published(name)}, for sam_weights beside them see '
            'https://github.com/facebookresearch/segment-anything'
        )
    base = existing_weights(name, sam_weights) if sam_weights else None
    return existing_weights(name, weights), base


def _options(card: Card, **given: object) -> dict[str, Any]:
    """For networks.create: what the card says, unless told otherwise.

    Weights that were stored without their frozen encoder tell it among the details.
    """
    told = [_PUBLISHED, {'encoder': card.details.get('encoder')}, card.options, given]
    return {key: x for options in told for key, x in options.items() if x is not None}


def _published_names(name: str, num_tokens: int) -> tuple[str, ...]:
    """Class names of the published weights with so many tokens; none of others."""
    return {2: networks.spec(name).class_names, 4: _ENDOVIS_2017}.get(num_tokens, ())


def _first(*values: float | None) -> float:
    return next(float(value) for value in values if value is not None)
