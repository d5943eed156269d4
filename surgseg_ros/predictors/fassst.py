"""FASSST on numpy images: the instances of one frame (see networks/fassst)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surgseg_ros import networks
from surgseg_ros.backends.model import Backend
from surgseg_ros.backends.prepared import PreparedBackend
from surgseg_ros.backends.runtime import AUTO, Runtime
from surgseg_ros.frames.results import InstanceResult, mask_boxes
from surgseg_ros.frames.stages import Stages
from surgseg_ros.networks.fassst_decode import SCORE_THRESHOLD, decode
from surgseg_ros.predictors.finite import check_finite
from surgseg_ros.predictors.preprocess import Normaliser, check_image, resize
from surgseg_ros.predictors.weights import card_or_shapes, existing_weights, options_and_names


class FassstPredictor:
    """Instances of images of any size, which are resized to the network's.

    name: 'fassst_416', 'fassst_768' or 'fassst_small'. weights: its checkpoint. runtime: see
    Runtime. class_names: index = class id, 0 = background.
    options: of networks.create. Defaults come from the card of the weights, without
    a card from their shapes, else from the publication. score_threshold: of a class;
    mask_threshold: probability of a pixel; overlap: of two boxes of a class, from which on the
    better one suppresses the other; final_threshold: of the score, after that; max_instances: the
    best ones; these five may be changed at any time. validation_threshold: the score_threshold of
    training's validation.
    """

    validation_threshold = SCORE_THRESHOLD

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        runtime: Runtime = AUTO,
        class_names: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
        score_threshold: float = 0.3,
        mask_threshold: float = 0.5,
        overlap: float = 0.5,
        final_threshold: float = 0.0,
        max_instances: int = 100,
    ) -> None:
        path = existing_weights(name, weights)
        spec, card = networks.spec(name), card_or_shapes(name, path)
        known, self.class_names = options_and_names(name, card, class_names, options)
        size = {**spec.arguments, **known}['size']
        self._normalise = Normaliser(size, size, spec.mean, spec.std)
        self._name = name
        self._backend_for = PreparedBackend(name, path, known, runtime)
        self.score_threshold, self.mask_threshold = score_threshold, mask_threshold
        self.final_threshold, self.max_instances = final_threshold, max_instances
        self.overlap = overlap

    def prepare(self, height: int, width: int) -> None:
        """Make the backend, once for all sizes; raises what backends.create and exports raise."""
        self._ready()

    def predict(self, image: np.ndarray) -> InstanceResult:
        """Find the instances of HxWx3 uint8 RGB; raises ValueError if it is not."""
        check_image(image)
        backend = self._ready()
        stages = Stages()
        tensor = self._normalise(resize(image, *self._normalise.shape[2:]))
        stages.done('preprocess')
        boxes, scores, masks = outputs = [output[0] for output in backend.run(tensor)]
        check_finite(self._name, outputs)
        stages.done('inference')
        found = decode(
            boxes,
            scores,
            masks,
            (image.shape[0], image.shape[1]),
            self.score_threshold,
            self.mask_threshold,
            self.overlap,
        )
        extents = mask_boxes(found.masks)
        stages.done('postprocess')
        result = InstanceResult(
            class_ids=found.class_ids,
            scores=found.scores,
            boxes=extents,
            masks=found.masks,
            class_names=self.class_names,
            milliseconds=stages.milliseconds,
        )
        return result.best(self.max_instances, self.final_threshold)

    def _ready(self) -> Backend:
        return self._backend_for(image=self._normalise.shape)
