"""SOLO on numpy images: the instances of one frame (see networks/solo)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros import networks
from surgseg_ros.backends.prepared import PreparedBackend
from surgseg_ros.backends.runtime import AUTO, Runtime
from surgseg_ros.frames.results import InstanceResult, mask_boxes
from surgseg_ros.frames.stages import Stages
from surgseg_ros.networks.solo_decode import GRIDS, SCORE_THRESHOLD, cells_per_level, decode
from surgseg_ros.predictors.finite import check_finite
from surgseg_ros.predictors.preprocess import Normaliser, check_image, fitted
from surgseg_ros.predictors.weights import card_or_shapes, existing_weights, options_and_names


class SoloPredictor:
    """Instances of images of any size.

    name: 'solo_r50', 'solo_r18' or 'solo_mobilenet'. weights: its checkpoint, by default that
    of the package, if it has one. runtime: see Runtime. class_names: index = class id, 0 =
    background. options: of networks.create. input_size: (height, width) px; an image is resized,
    with its aspect ratio, to the largest that fits into that box or into the box on its side. What
    is not given is what the card of the weights says; without a card, what their shapes tell, else
    as published. candidates: cells per level
    whose masks are computed; an image with more cells above the score threshold loses the worst.
    score_threshold: of the category, before duplicates are suppressed; final_threshold: of the
    score after that; mask_threshold: of a pixel; max_instances: the best ones; these four, by
    default as published, may be changed at any time. validation_threshold: the score_threshold
    of training's validation.

    A backend is made for the first image size that comes (seconds where nothing is cached; see
    prepare), and again when another makes another shape of the network's input.
    """

    validation_threshold = SCORE_THRESHOLD

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        runtime: Runtime = AUTO,
        class_names: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
        input_size: Sequence[int] | None = None,
        candidates: int = 100,
        score_threshold: float = SCORE_THRESHOLD,
        mask_threshold: float = 0.5,
        final_threshold: float = 0.05,
        max_instances: int = 100,
    ) -> None:
        self._name, self._spec = name, networks.spec(name)
        self._weights = existing_weights(name, weights)
        card = card_or_shapes(name, self._weights)
        known, self.class_names = options_and_names(name, card, class_names, options)
        self._options = {**known, 'candidates': candidates}
        self._box = sorted(input_size or card.details.get('input_size', self._spec.input_size))
        self._counts = cells_per_level(
            candidates, {'grids': GRIDS, **self._spec.arguments, **self._options}['grids']
        )
        # sizes whose images have one shape in the network share what was made for it
        self._backend_for = PreparedBackend(name, self._weights, self._options, runtime)
        self._size = (0, 0)
        self.score_threshold, self.mask_threshold = score_threshold, mask_threshold
        self.final_threshold, self.max_instances = final_threshold, max_instances

    def prepare(self, height: int, width: int) -> None:
        """Make ready for images of this size; raises what backends.create and exports raise."""
        if (height, width) == self._size:
            return
        self._size = (0, 0)  # of no image, unless all that follows succeeds
        spec, (short, long) = self._spec, self._box
        self._content = fitted(height, width, short, long)
        self._normalise = Normaliser(*self._content, spec.mean, spec.std, spec.multiple)
        self._backend = self._backend_for(image=self._normalise.shape)
        self._size = height, width

    def predict(self, image: np.ndarray) -> InstanceResult:
        """Find the instances of HxWx3 uint8 RGB; raises ValueError if it is not."""
        check_image(image)
        self.prepare(*image.shape[:2])
        stages = Stages()
        tensor = self._normalise(cv2.resize(image, self._content[::-1]))
        stages.done('preprocess')
        (masks,), (scores,) = self._backend.run(tensor)
        # hundreds of masks, of which few are used
        check_finite(self._name, (scores, masks[scores.max(axis=1) > self.score_threshold]))
        stages.done('inference')
        found = decode(
            masks,
            scores,
            self._counts,
            self._content,
            self._size,
            score_threshold=self.score_threshold,
            mask_threshold=self.mask_threshold,
            final_threshold=self.final_threshold,
            most=self.max_instances,
        )
        boxes = mask_boxes(found.masks)
        stages.done('postprocess')
        return InstanceResult(
            class_ids=found.labels + 1,
            scores=found.scores,
            boxes=boxes,
            masks=found.masks,
            class_names=self.class_names,
            milliseconds=stages.milliseconds,
        )
