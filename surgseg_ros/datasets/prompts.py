"""SurgicalSAM's view of a dataset: a sample is one class in one image, with its binary mask."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from surgseg_ros.datasets.kinds import SegmentationDataset
from surgseg_ros.metrics.segmentation import UNLABELLED


class ClassPrompt(NamedTuple):
    """Number of an image in its dataset, and a class id (1 or more) that its labels have."""

    image: int
    class_id: int


class ClassPrompts:
    """All (image, class) pairs of a dataset, by image and then by class id.

    Reads all labels once to find them. prompts: the pairs. counts: pairs by class id, from 1,
    also of classes without any.
    """

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset
        self.prompts = [
            ClassPrompt(image, int(class_id))
            for image in range(len(dataset))
            for class_id in _foreground(dataset.labels(image))
        ]
        found = Counter(prompt.class_id for prompt in self.prompts)
        self.counts: Mapping[int, int] = {
            class_id: found[class_id] for class_id in range(1, len(dataset.class_names))
        }

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.prompts)

    def __getitem__(self, index: int) -> ClassPrompt:
        """Pair number index; IndexError beyond the last one."""
        return self.prompts[index]

    def mask(self, index: int) -> np.ndarray:
        """HxW bool: where the class of pair number index is in its image."""
        image, class_id = self.prompts[index]
        mask: np.ndarray = self.dataset.labels(image) == class_id
        return mask


def _foreground(labels: np.ndarray) -> np.ndarray:
    """Class ids in labels, ascending, without the background."""
    return np.setdiff1d(np.flatnonzero(np.bincount(labels.ravel())), [0, UNLABELLED])
