"""Semantic segmentation accuracy as the literature reports it.

ConfusionMatrix counts pixels over all images; everything that is a ratio of such counts comes
from it. Figures that are means over images instead (SurgicalSAM, EndoVis 2017, RIS) are below.
"""

from collections.abc import Callable, Mapping, Sequence
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
        iou: np.ndarray = iou_of(self.counts[None])[0]
        return iou

    @property
    def dice(self) -> np.ndarray:
        """2 TP / (2 TP + FP + FN) per class, C float64; NaN as in iou."""
        dice: np.ndarray = dice_of(self.counts[None])[0]
        return dice

    @property
    def accuracy(self) -> float:
        """Share of pixels whose class is right; NaN without pixels."""
        return float(_ratio(np.trace(self.counts), self.counts.sum()))


def mean_over_classes(values: np.ndarray, background: bool = False) -> float:
    """Mean of per-class values (mIoU, mDice); classes with NaN are skipped, NaN if all are.

    values: by class id. background: class 0 counts as well.
    """
    return known_mean(values if background else values[1:])


Overlap = Callable[[np.ndarray], np.ndarray]


def iou_of(images: np.ndarray) -> np.ndarray:
    """N x C x (C + 1) counts as ConfusionMatrix has them -> N x C IoU, NaN as there."""
    hits, sizes = _hits_and_sizes(images)
    return _ratio(hits, sizes - hits)


def dice_of(images: np.ndarray) -> np.ndarray:
    """N x C x (C + 1) counts as ConfusionMatrix has them -> N x C Dice, NaN as there."""
    hits, sizes = _hits_and_sizes(images)
    return _ratio(2 * hits, sizes)


@dataclass(frozen=True)
class InstrumentScores:
    """What SurgicalSAM reports (after ISINet), each in [0, 1], NaN where nothing counts.

    challenge: mean over images of the mean IoU of the classes that are in the truth.
    either: the same of the classes in truth or prediction.
    mean_class: mean over classes of class_means (mcIoU).
    class_means: by class id from 1, mean over the images where truth or prediction has the class.
    cumulative: intersections over unions, summed over classes and images (SurgicalSAM prints it
        as mIoU); images where nothing was predicted are left out, as in the published code.
    """

    challenge: float
    either: float
    mean_class: float
    class_means: np.ndarray
    cumulative: float


def instrument_scores(images: np.ndarray, overlap: Overlap = iou_of) -> InstrumentScores:
    """Score N images of C x (C + 1) counts (ConfusionMatrix); Dice in place of IoU by dice_of.

    An image without instruments counts nowhere unless some are predicted in it; one with
    instruments and an empty prediction counts as 0.
    """
    values = overlap(images)[:, 1:]
    class_means = np.array([known_mean(column) for column in values.T])
    # every class of the images with any prediction as one: sums above, sums below
    predicted = images[images[:, :, 1:-1].any(axis=(1, 2))]
    hits, sizes = (one[:, 1:].sum() for one in _hits_and_sizes(predicted))
    above, below = (2 * hits, sizes) if overlap is dice_of else (hits, sizes - hits)
    return InstrumentScores(
        challenge=known_mean(challenge_values(images, overlap)),
        either=known_mean([known_mean(row) for row in values]),
        mean_class=known_mean(class_means),
        class_means=class_means,
        cumulative=float(_ratio(above, below)),
    )


def challenge_values(images: np.ndarray, overlap: Overlap = iou_of) -> list[float]:
    """Per image, mean IoU of the classes in its truth; NaN for one without instruments."""
    there = images[:, 1:].sum(axis=2) > 0
    return [
        known_mean(row[present])
        for row, present in zip(overlap(images)[:, 1:], there, strict=True)
    ]


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
    means = {name: known_mean(frames[names == name]) for name in dict.fromkeys(sequences)}
    known = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    weights = [np.count_nonzero(names == name) for name in known]
    total = np.dot(weights, list(known.values())) / sum(weights) if known else float('nan')
    return SequenceScores(means, known_mean(list(known.values())), float(total))


def binary_iou(prediction: np.ndarray, truth: np.ndarray, eps: float = 1e-6) -> float:
    """(I + eps) / (U + eps) of what is not 0, HxW each; 1 where neither has anything.

    As MSDESIS evaluates RIS 2017, per image.
    """
    found, true = prediction > 0, truth > 0
    overlap, union = np.count_nonzero(found & true), np.count_nonzero(found | true)
    return (overlap + eps) / (union + eps)


def known_mean(values: np.ndarray | Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN without any (np.nanmean would warn)."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else float('nan')


def _hits_and_sizes(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """TP, and pixels true plus pixels predicted, N x C int64 each."""
    hits = np.diagonal(images, axis1=1, axis2=2)
    return hits, images.sum(axis=2) + images[:, :, :-1].sum(axis=1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    values = np.full(np.shape(below), np.nan)
    np.divide(above, below, out=values, where=np.asarray(below) > 0)
    return values
