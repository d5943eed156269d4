"""Semantic segmentation accuracy as the literature reports it.

ConfusionMatrix counts pixels over all images; everything that is a ratio of such counts comes
from it. Figures that are means over images instead (SurgicalSAM, EndoVis 2017, RIS) are below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

UNLABELLED = 255  # label of a pixel that counts neither in training nor in evaluation


class ConfusionMatrix:
    """Pixels by true and predicted class, summed over images.

    counts: C x (C + 1) int64, row = true class id, column = predicted class id; the last column
    is for predictions that are no class (255), which count as missed.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = np.zeros((num_classes, num_classes + 1), np.int64)

    @property
    def num_classes(self) -> int:
        """Number of class ids, the background included."""
        return len(self.counts)

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Count the pixels of integer class ids of equal shape; those of truth 255 are left out.

        Raises ValueError if shapes differ or an id is no integer, or neither a class nor 255.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f'the prediction is {prediction.shape}, the truth {truth.shape}')
        known = truth != UNLABELLED
        true, found = self._class_ids(truth[known], 'truth'), prediction[known]
        found = self._class_ids(np.where(found == UNLABELLED, 0, found), 'prediction')
        found[prediction[known] == UNLABELLED] = self.num_classes
        columns = self.num_classes + 1
        pairs = np.bincount(true * columns + found, minlength=self.counts.size)
        self.counts += pairs.reshape(self.counts.shape)

    def _class_ids(self, ids: np.ndarray, what: str) -> np.ndarray:
        if ids.dtype.kind not in 'biu':
            raise ValueError(f'the {what} is {ids.dtype}, expected integer class ids')
        wrong = ids[(ids < 0) | (ids >= self.num_classes)]
        if wrong.size:
            raise ValueError(
                f'the {what} has class id {wrong[0]}, expected 0 to '
                f'{self.num_classes - 1} or {UNLABELLED} for unlabelled'
            )
        return ids.astype(np.intp)

    def without_background(self) -> 'ConfusionMatrix':
        """Drop row and column 0, as LWANet's evaluation does.

        Instruments taken for background and background taken for instruments then count nowhere;
        only confusion among the classes does. Class k of the result is class k + 1 of this.
        """
        foreground = ConfusionMatrix(self.num_classes - 1)
        foreground.counts = self.counts[1:, 1:].copy()
        return foreground

    @property
    def iou(self) -> np.ndarray:
        """TP / (TP + FP + FN) per class, C float64; NaN where neither truth nor prediction is."""
        hits, either = self.hits_and_sizes()
        return _ratio(hits, either - hits)

    @property
    def dice(self) -> np.ndarray:
        """2 TP / (2 TP + FP + FN) per class, C float64; NaN as in iou."""
        hits, sizes = self.hits_and_sizes()
        return _ratio(2 * hits, sizes)

    @property
    def accuracy(self) -> float:
        """Share of pixels whose class is right; NaN of none."""
        return float(_ratio(np.trace(self.counts), self.counts.sum()))

    def hits_and_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """TP, and pixels true plus pixels predicted, C int64 each."""
        counts = self.counts
        return np.diagonal(counts), counts.sum(axis=1) + counts[:, :-1].sum(axis=0)


def mean_over_classes(values: np.ndarray, background: bool = False) -> float:
    """Mean of per-class values (mIoU, mDice); classes with NaN are skipped, NaN if all are.

    values: by class id. background: class 0 counts as well.
    """
    return _mean(values if background else values[1:])


@dataclass(frozen=True)
class InstrumentScores:
    """What SurgicalSAM reports (after ISINet), each in [0, 1], NaN where nothing counts.

    challenge_iou: mean over images of the mean IoU of the classes that are in the truth.
    iou: the same of the classes in truth or prediction.
    mean_class_iou: mean over classes of class_iou (mcIoU).
    class_iou: by class id from 1, mean over the images where truth or prediction has the class.
    cumulative_iou: intersections over unions, summed over classes and images (SurgicalSAM prints
        it as mIoU); images where nothing was predicted are left out, as in the published code.
    """

    challenge_iou: float
    iou: float
    mean_class_iou: float
    class_iou: np.ndarray
    cumulative_iou: float


class InstrumentMeans:
    """SurgicalSAM's means over images, and with them the EndoVis 2017 challenge's.

    An image without instruments counts nowhere unless some are predicted in it; one with
    instruments and an empty prediction counts as 0.
    """

    def __init__(self, num_classes: int) -> None:
        """num_classes: the background included."""
        self._num_classes = num_classes
        self._ious: list[np.ndarray] = []
        self._in_truth: list[np.ndarray] = []
        self._overlaps = np.zeros(2, np.int64)

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Take one image's class ids, HxW each; ids, 255 and errors as in ConfusionMatrix.add."""
        image = ConfusionMatrix(self._num_classes)
        image.add(prediction, truth)
        self.add_image(image)

    def add_image(self, image: ConfusionMatrix) -> None:
        """Take the pixels of one image, counted before."""
        self._ious.append(image.iou[1:])
        self._in_truth.append(image.counts[1:].sum(axis=1) > 0)
        if image.counts[:, 1:-1].any():
            hits, sizes = image.hits_and_sizes()
            self._overlaps += hits[1:].sum(), (sizes - hits)[1:].sum()

    @property
    def challenge_ious(self) -> list[float]:
        """Per image, mean IoU of the classes in its truth; NaN for one without instruments."""
        return [_mean(iou[there]) for iou, there in zip(self._ious, self._in_truth, strict=True)]

    def scores(self) -> InstrumentScores:
        """Means over the images added so far."""
        images = np.array(self._ious).reshape(-1, self._num_classes - 1)
        class_iou = np.array([_mean(column) for column in images.T])
        return InstrumentScores(
            challenge_iou=_mean(self.challenge_ious),
            iou=_mean([_mean(row) for row in images]),
            mean_class_iou=_mean(class_iou),
            class_iou=class_iou,
            cumulative_iou=float(_ratio(*self._overlaps)),
        )


@dataclass(frozen=True)
class SequenceScores:
    """Means over the frames of each sequence (EndoVis calls them datasets), by its name.

    mean: of the sequences, each counting once (MSDESIS's RIS 2017 figure).
    frame_mean: each counting by its number of frames (EndoVis 2017 challenge, LWANet Table III).
    """

    sequences: Mapping[str, float]
    mean: float
    frame_mean: float


def sequence_scores(values: Sequence[float], sequences: Sequence[str]) -> SequenceScores:
    """Values per frame and each frame's sequence -> means; NaN values are left out."""
    frames = np.asarray(values, np.float64)
    names = np.asarray(sequences)
    means = {name: _mean(frames[names == name]) for name in dict.fromkeys(sequences)}
    known = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    weights = [np.count_nonzero(names == name) for name in known]
    total = np.dot(weights, list(known.values())) / sum(weights) if known else float('nan')
    return SequenceScores(means, _mean(list(known.values())), float(total))


def binary_iou(prediction: np.ndarray, truth: np.ndarray, eps: float = 1e-6) -> float:
    """(I + eps) / (U + eps) of what is not 0, HxW each; 1 where neither has anything.

    As MSDESIS evaluates RIS 2017, per image.
    """
    found, true = prediction > 0, truth > 0
    overlap, union = np.count_nonzero(found & true), np.count_nonzero(found | true)
    return (overlap + eps) / (union + eps)


def _mean(values: np.ndarray | Sequence[float]) -> float:
    """Mean of the values that are not NaN, NaN of none (np.nanmean would warn)."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else float('nan')


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    values = np.full(np.shape(below), np.nan)
    return np.divide(above, below, out=values, where=np.asarray(below) > 0)
