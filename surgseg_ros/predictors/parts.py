"""Shaft, wrist and jaws of instances, by two networks on the same image."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros import predictors
from surgseg_ros.frames.parts import Part, part_named
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.predictors.protocols import InstancePredictor, SemanticPredictor


class PartsPredictor:
    """Instances by one predictor; a semantic one labels the parts inside their masks.

    instances: any instance predictor. semantic: a predictor with classes for parts, named as
    part_named knows them, such as those of EndoVis: LWANet trained on its part labels. ValueError
    if there is no such class. What is none of these parts inside a mask is Part.UNKNOWN, the
    background, too: which pixels are the instrument is what the instance network says.
    """

    def __init__(self, instances: InstancePredictor, semantic: SemanticPredictor) -> None:
        self.instances, self._semantic = instances, semantic
        self.class_names = instances.class_names
        named = [part_named(name) for name in semantic.class_names]
        if not set(named) - {Part.UNKNOWN}:
            raise ValueError(
                'the network of parts has no class shaft, wrist, clasper or jaw, but '
                f'{", ".join(semantic.class_names)}'
            )
        self._parts = np.full(256, Part.UNKNOWN, np.uint8)  # by class id
        self._parts[: len(named)] = named

    @classmethod
    def from_weights(
        cls,
        instances: InstancePredictor,
        weights: str | Path,
        model: str = 'lwanet',
        **options: Any,
    ) -> 'PartsPredictor':
        """Make the semantic predictor, too; options and errors are those of predictors.create."""
        return cls(instances, predictors.create(model, weights=weights, **options))

    def prepare(self, height: int, width: int) -> None:
        """Make both ready for images of this size; raises what backends.create raises."""
        self.instances.prepare(height, width)
        self._semantic.prepare(height, width)

    def predict(self, image: np.ndarray) -> InstanceResult:
        """Find the instances of HxWx3 uint8 RGB and their parts; ValueError if it is not."""
        return self.add_parts(image, self.instances.predict(image))

    def add_parts(self, image: np.ndarray, result: InstanceResult) -> InstanceResult:
        """Add the parts to a result of this image; without instances, no network runs."""
        start = time.perf_counter()
        parts = np.zeros(result.masks.shape, np.uint8)
        if len(parts):
            labels = self._semantic.predict(image).labels
            np.multiply(result.masks, self._parts[labels], out=parts)
        milliseconds = {**result.milliseconds, 'parts': 1000 * (time.perf_counter() - start)}
        return replace(result, parts=parts, milliseconds=milliseconds)
