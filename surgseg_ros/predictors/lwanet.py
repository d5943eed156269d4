"""A class for every pixel of numpy images, by LWANet (see networks/lwanet) or a network like it:
one that answers scores of classes, at 1/stride of the image."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from surgseg_ros import networks
from surgseg_ros.backends.prepared import PreparedBackend
from surgseg_ros.backends.runtime import AUTO, Runtime
from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.frames.stages import Stages
from surgseg_ros.networks.card import Card
from surgseg_ros.predictors.finite import check_finite
from surgseg_ros.predictors.fitting import fitting_size
from surgseg_ros.predictors.label_upsampling import LabelUpsampler
from surgseg_ros.predictors.preprocess import Normaliser, check_image, max_pool, resize
from surgseg_ros.predictors.regions import (
    AS_PUBLISHED,
    RegionRules,
    are_types,
    select_regions,
    without_classes,
)
from surgseg_ros.predictors.weights import card_of, existing_weights, names_of_classes

REDUCTIONS = ('area', 'max')


class LwanetPredictor:
    """Labels of images of any size, at their full size.

    name: of the network, 'lwanet'. weights: its checkpoint, by default that of the package.
    runtime: see Runtime; precision 'auto' is f32, because bf16, although twice as fast, changes
    labels (3 % with the random weights of tests).
    class_names: index = class id; num_classes, attention_fusion: as for networks.create.
    input_size: (height, width) px of the largest image that the network shall see. reduction:
    how an image gets there. 'area': resized with its aspect ratio to the largest that fits,
    averaging where it shrinks, as training does here. 'max': the maxima of whole blocks, the
    smallest that fit; smaller images stay as they are. Defaults come from the card of the
    weights, or without a card from the publication: 544x960 and 'max', that is 1920x1080 at
    960x540 and 1280x1024 at 640x512. Either way, the sides are then padded evenly to multiples of
    32.

    rules: which regions count, and as what; may be changed at any time. Classes that the card
    names as untrained are never assigned.

    A backend is made for the first image size that comes (seconds where nothing is cached; see
    prepare), and again when another makes another shape of the network's input.
    """

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        runtime: Runtime = AUTO,
        class_names: Sequence[str] = (),
        num_classes: int | None = None,
        attention_fusion: bool | None = None,
        input_size: Sequence[int] | None = None,
        reduction: str | None = None,
    ) -> None:
        self._name, self._spec = name, networks.spec(name)
        self._weights = existing_weights(name, weights)
        card = card_of(name, self._weights) or Card(name)
        self._options = _options(card, class_names, num_classes, attention_fusion)
        published = self._spec.class_names
        self.class_names = names_of_classes(
            tuple(class_names) or card.class_names,
            published,
            self._options.get('num_classes', len(published)),
        )
        trained = card.details.get('input_size')
        self._box = tuple(input_size or trained or self._spec.input_size)
        self._reduction = reduction or ('area' if trained else 'max')
        if self._reduction not in REDUCTIONS:
            raise ValueError(
                f'reduction is {reduction!r}, expected one of {", ".join(REDUCTIONS)}'
            )
        if len(self._box) != 2 or min(self._box) < 1:
            raise ValueError(f'input_size is {self._box}, expected (height, width) in px')
        # sizes whose images have one shape in the network share what was made for it
        self._backend_for = PreparedBackend(name, self._weights, self._options, runtime)
        self._untrained = card.untrained
        self._are_types = are_types(self.class_names)
        self.rules: RegionRules = AS_PUBLISHED
        self._size = (0, 0)

    def prepare(self, height: int, width: int) -> None:
        """Make ready for images of this size; raises what backends.create and exports raise."""
        if (height, width) == self._size:
            return
        self._size = (0, 0)  # of no image, unless all that follows succeeds
        if self._reduction == 'max':
            factor = max(math.ceil(height / self._box[0]), math.ceil(width / self._box[1]))
            factor = min(factor, height, width)
            self._reduce = partial(max_pool, factor=factor)
            seen, extent = (height // factor, width // factor), (height / factor, width / factor)
        else:
            seen = extent = fitting_size((height, width), self._box)
            self._reduce = partial(resize, height=seen[0], width=seen[1])
        spec, stride = self._spec, self._spec.stride
        self._normalise = Normaliser(*seen, spec.mean, spec.std, spec.multiple, centred=True)
        shape = self._normalise.shape
        self._upsampler = LabelUpsampler(
            (height, width),
            (shape[2] // stride, shape[3] // stride),
            self._normalise.origin,
            extent,
            stride,
        )
        self._upsampler.compile()
        self._backend = self._backend_for(image=shape)
        self._size = height, width

    def reset(self) -> None:
        """Do nothing, because images are labelled independently."""

    def predict(
        self, image: np.ndarray, probabilities: bool = False, content: np.ndarray | None = None
    ) -> SemanticResult:
        """Label HxWx3 uint8 RGB; raises ValueError if it is not.

        content: HxW bool, where the picture is; nothing outside is an instrument.
        """
        check_image(image)
        self.prepare(*image.shape[:2])
        stages = Stages()
        tensor = self._normalise(self._reduce(image))
        stages.done('preprocess')
        ((scores,),) = self._backend.run(tensor)
        check_finite(self._name, [scores])
        stages.done('inference')
        scores = without_classes(scores, self._untrained)
        rules = self.rules if self._are_types else replace(self.rules, one_type=False)
        if content is not None or rules != AS_PUBLISHED:
            seen = np.ones(image.shape[:2], bool) if content is None else content
            labels = self._upsampler.labels(select_regions(scores, rules, self._cells(seen)))
        else:
            labels = self._upsampler.labels(scores)
        planes = self._upsampler.probabilities(scores) if probabilities else None
        stages.done('postprocess')
        return SemanticResult(labels, planes, self.class_names, stages.milliseconds)

    def _cells(self, content: np.ndarray) -> np.ndarray:
        """Which cells of the scores see the picture: h x w bool."""
        cells = np.zeros(self._normalise.shape[2:], np.uint8)
        top, left = self._normalise.origin
        height, width = self._normalise.content_size
        seen = cv2.resize(content.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        cells[top : top + height, left : left + width] = seen
        stride = self._spec.stride
        rows, columns = (n // stride for n in cells.shape)
        inside = cells.reshape(rows, stride, columns, stride).max(axis=(1, 3))
        return np.asarray(inside, bool)


def _options(
    card: Card, class_names: Sequence[str], num_classes: int | None, attention_fusion: bool | None
) -> dict[str, Any]:
    """For networks.create: what the card says, unless told otherwise."""
    named = len(card.class_names or class_names)
    given = {'num_classes': num_classes, 'attention_fusion': attention_fusion}
    return {
        **({'num_classes': named} if named else {}),
        **card.options,
        **{key: x for key, x in given.items() if x is not None},
    }
