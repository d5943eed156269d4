"""What every predictor of a kind can do. Its settings may be changed at any time, also from
another thread; they are read once per frame.
"""

from typing import Protocol

import numpy as np

from surgseg_ros.frames.results import InstanceResult, SemanticResult, StereoResult


class Predictor(Protocol):
    """What all of them have in common.

    class_names: of what they find, by class id, the background first; empty where they find
    nothing that has a class.
    """

    class_names: tuple[str, ...]

    def prepare(self, height: int, width: int) -> None:
        """Make ready for images of this size; raises what backends.create and exports raise."""
        ...


class Matcher(Protocol):
    """Whatever turns a rectified pair of HxWx3 uint8 RGB images into a StereoResult."""

    def predict(self, left: np.ndarray, right: np.ndarray) -> StereoResult:
        """Match one pair; ValueError if it is none."""
        ...


class StereoPredictor(Predictor, Matcher, Protocol):
    """Disparity, and from some a tool mask.

    threshold: probability above which a pixel is a tool.
    """

    threshold: float


class SemanticPredictor(Predictor, Protocol):
    """A class for every pixel."""

    def predict(self, image: np.ndarray, probabilities: bool = False) -> SemanticResult:
        """Label HxWx3 uint8 RGB; ValueError if it is none. probabilities: give them, too."""
        ...

    def reset(self) -> None:
        """Forget earlier frames: the next shows another scene."""
        ...


class InstancePredictor(Predictor, Protocol):
    """Instruments one by one.

    score_threshold: lowest class score of a candidate. mask_threshold:
    probability from which a pixel is part of it. final_threshold: score from which an instance
    counts after duplicates have been suppressed. max_instances: the best ones.
    validation_threshold: the score_threshold of training's validation.
    """

    score_threshold: float
    mask_threshold: float
    final_threshold: float
    max_instances: int
    validation_threshold: float

    def predict(self, image: np.ndarray) -> InstanceResult:
        """Find the instances of HxWx3 uint8 RGB; ValueError if it is none."""
        ...
