"""How good class labels are: of a predictor on a dataset, in files, or recorded in a bag."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from surgseg_ros.bags import BagReader
from surgseg_ros.datasets.base import SegmentationDataset, contents, image_files
from surgseg_ros.datasets.endovis17 import TYPES
from surgseg_ros.evaluation.recorded import results_by_frame
from surgseg_ros.frames.stereo_frame import LeftFrame, StereoFrame
from surgseg_ros.media import pictures
from surgseg_ros.media.image_files import read_grey
from surgseg_ros.metrics.segmentation import (
    UNLABELLED,
    ConfusionMatrix,
    InstrumentMeans,
    binary_iou,
    mean_over_classes,
    sequence_scores,
)
from surgseg_ros.perception.semantic import SemanticStep
from surgseg_ros.rosdata.images import decode_labels
from surgseg_ros.sources.base import stamp_at

TOPIC = '/endoscope/segmentation'
_WIDTH = 480  # px of one image in the picture


class JudgedLabels(NamedTuple):
    """A frame's predicted and true class ids, HxW uint8 each, and its image where it is known."""

    name: str
    prediction: np.ndarray
    truth: np.ndarray
    image: np.ndarray | None = None


class Evaluation:
    """Figures over the frames added, and a picture of the worst, the median and the best.

    class_names: by class id. picture: keep what the picture needs.
    """

    def __init__(self, class_names: Sequence[str], picture: bool = False) -> None:
        self.class_names = tuple(class_names)
        self._matrix = ConfusionMatrix(len(class_names))
        self._means = InstrumentMeans(len(class_names))
        self._binary: list[float] = []  # per frame, where there is one class only
        self._names: list[str] = []
        self._rows: list[np.ndarray] | None = [] if picture else None

    def add(self, judged: JudgedLabels) -> None:
        """Count one frame; ValueError if sizes differ or an id is no class."""
        try:
            self._matrix.add(judged.prediction, judged.truth)
        except ValueError as error:
            raise ValueError(f'{judged.name}: {error}') from error
        self._means.add(judged.prediction, judged.truth)
        if len(self.class_names) == 2:
            known = judged.truth != UNLABELLED
            self._binary.append(binary_iou(judged.prediction[known] == 1, judged.truth[known]))
        self._names.append(judged.name)
        if self._rows is not None:
            title = f'{judged.name}  IoU {self._means.challenge_ious[-1]:.3f}'
            self._rows.append(_packed(_row(judged, self.class_names, title)))

    def figures(self) -> dict[str, Any]:
        """Figures in [0, 1] under the names and conventions of metrics/segmentation.py.

        'msdesis' is there where one class besides the background is. Ready for JSON: what nothing
        was counted for is None. Raises ValueError without frames.
        """
        if not self._names:
            raise ValueError('there was no frame to evaluate')
        matrix, scores = self._matrix, self._means.scores()
        without = matrix.without_background()
        folders = [name.rpartition('/')[0] for name in self._names]
        sequences = sequence_scores(self._means.challenge_ious, folders)
        figures = {
            'frames': len(self._names),
            'classes': {
                name: {'iou': iou, 'dice': dice, 'pixels': int(pixels)}
                for name, iou, dice, pixels in zip(
                    self.class_names,
                    matrix.iou,
                    matrix.dice,
                    matrix.counts.sum(axis=1),
                    strict=True,
                )
            },
            'mean_iou': mean_over_classes(matrix.iou),
            'mean_dice': mean_over_classes(matrix.dice),
            'mean_iou_with_background': mean_over_classes(matrix.iou, background=True),
            'pixel_accuracy': matrix.accuracy,
            'lwanet': {
                'mean_iou': mean_over_classes(without.iou, background=True),
                'mean_dice': mean_over_classes(without.dice, background=True),
            },
            'surgicalsam': {
                'challenge_iou': scores.challenge_iou,
                'iou': scores.iou,
                'mean_class_iou': scores.mean_class_iou,
                'cumulative_iou': scores.cumulative_iou,
            },
            'challenge_by_sequence': {
                'mean': sequences.mean,
                'frame_mean': sequences.frame_mean,
                'sequences': dict(sequences.sequences),
            },
        }
        if self._binary:
            ris = sequence_scores(self._binary, folders)
            figures['msdesis'] = {'iou': ris.mean, 'sequences': dict(ris.sequences)}
        return without_nan(figures)

    def picture(self) -> np.ndarray:
        """HxWx3 uint8 RGB: truth left, prediction right; worst, median and best frame."""
        if not self._rows:
            raise ValueError('there was no frame to make a picture of')
        ious = np.array(self._means.challenge_ious)
        order = np.argsort(np.where(np.isnan(ious), 1, ious), kind='stable')
        chosen = dict.fromkeys([order[0], order[len(order) // 2], order[-1]])
        rows = [_unpacked(self._rows[index]) for index in chosen]
        height = rows[0].shape[0]
        return np.vstack([cv2.resize(row, (2 * _WIDTH, height)) for row in rows])


def predicted(
    step: SemanticStep, dataset: SegmentationDataset, prompted: bool = False
) -> Iterator[JudgedLabels]:
    """Run a step over a dataset; ValueError if their classes differ in number.

    Each sequence (folder in the names) is a scene. prompted: tell the step, whose SurgicalSAM has
    mode 'published', which classes the truth has.
    """
    classes = len(step.class_names)
    if classes != len(dataset.class_names):
        raise ValueError(
            f'the weights know {classes} classes ({", ".join(step.class_names)})'
            f', the dataset has {len(dataset.class_names)} '
            f'({", ".join(dataset.class_names)})'
        )
    sequence, sequences = '', 0
    for index in range(len(dataset)):
        name, image, truth = dataset[index]
        before, sequence = sequence, name.rpartition('/')[0]
        sequences += sequence != before
        prompts = np.setdiff1d(truth, [0, UNLABELLED]) if prompted else None
        frame = LeftFrame(stamp_at(index, None), image, jumps=sequences)
        yield JudgedLabels(name, step(frame, class_ids=prompts).labels, truth, image)


def from_folders(prediction: Path, truth: Path) -> Iterator[JudgedLabels]:
    """Pair label images (class ids) of two folders; ValueError if one is missing.

    They may be in folders of sequences, of the same names in both: SEQUENCE/FRAME.png.
    """
    files = image_files(truth, below=True)
    if not files:
        raise ValueError(f'expected label images (PNG) in {truth}; {contents(truth)}')
    for file in files:
        name = file.relative_to(truth)
        found = prediction / name
        if not found.is_file():
            raise ValueError(f'{prediction} has no {name}, which is in {truth}')
        yield JudgedLabels(name.with_suffix('').as_posix(), read_grey(found), read_grey(file))


def classes_in(folders: Iterable[Path]) -> tuple[str, ...]:
    """Name the classes by the greatest id in the label images of folders (255 aside)."""
    greatest = 0
    for folder in folders:
        for file in image_files(folder, below=True):
            labels = read_grey(file)
            greatest = max(greatest, int(labels[labels != 255].max(initial=0)))
    return ('background', *(f'class {number}' for number in range(1, greatest + 1)))


def recorded(
    results: Path, truth: Path | None = None, topic: str = TOPIC
) -> tuple[tuple[str, ...], Iterator[JudgedLabels]]:
    """Class names and frames of a bag with labels on `topic` and true instances.

    The names are those of `<topic>/label_info`, EndoVis 2017's where it was not recorded. Frames
    come from `truth` if that is another bag. Raises ValueError in one sentence.
    """
    names = _label_info(results, f'{topic}/label_info') or TYPES
    pairs = results_by_frame(results, truth, topic, decode_labels)
    return names, (
        JudgedLabels(f'{frame.stamp / 1e9:.3f} s', labels, true_classes(frame, names), frame.left)
        for frame, labels in pairs
        if frame.truth is not None and frame.truth.instances is not None
    )


def true_classes(frame: StereoFrame, class_names: Sequence[str]) -> np.ndarray:
    """HxW uint8 ids of the true instruments' classes by name; of one class only, it is all theirs.

    Raises ValueError if an instrument in the image is none of the classes.
    """
    assert frame.truth is not None and frame.truth.instances is not None
    ids = np.zeros(256, np.uint8)
    for tool in frame.truth.tools:
        if len(class_names) == 2:
            ids[tool.slot] = 1
        elif tool.class_name in class_names:
            ids[tool.slot] = class_names.index(tool.class_name)
        elif (frame.truth.instances == tool.slot).any():
            raise ValueError(
                f"the true instrument {tool.class_name} is none of the labels' "
                f'classes: {", ".join(class_names)}'
            )
    return ids[frame.truth.instances]


def table(figures: Mapping[str, Any]) -> str:
    """Format figures for a terminal, in percent."""
    width = max(len(name) for name in figures['classes']) + 2
    lines = [f'{"":<{width}}{"IoU %":>9}{"Dice %":>9}{"pixels":>13}']
    for name, values in figures['classes'].items():
        lines.append(
            f'{name:<{width}}{_percent(values["iou"]):>9}{_percent(values["dice"]):>9}'
            f'{values["pixels"]:>13}'
        )
    sam, lwanet = figures['surgicalsam'], figures['lwanet']
    lines += [
        f'{figures["frames"]} frames; mean of the classes but the background: '
        f'mIoU {_percent(figures["mean_iou"])}, mDice {_percent(figures["mean_dice"])}; '
        f'with the background: mIoU {_percent(figures["mean_iou_with_background"])}',
        f'as LWANet counts, without background pixels: mIoU {_percent(lwanet["mean_iou"])}, '
        f'mDice {_percent(lwanet["mean_dice"])}',
        f'as SurgicalSAM counts, per image: challenge IoU {_percent(sam["challenge_iou"])}, '
        f'IoU {_percent(sam["iou"])}, mcIoU {_percent(sam["mean_class_iou"])}',
    ]
    if 'msdesis' in figures:
        lines.append(
            'as MSDESIS counts (RIS 2017), per image and sequence: '
            f'IoU {_percent(figures["msdesis"]["iou"])}'
        )
    return '\n'.join(lines)


def _label_info(path: Path, topic: str) -> tuple[str, ...]:
    with BagReader(path) as bag:
        if topic not in bag.topics:
            return ()
        message = next(iter(bag.messages([topic]))).message
    names = {entry.class_id: entry.class_name for entry in message.class_map}
    return tuple(names.get(number, f'class {number}') for number in range(max(names) + 1))


def _row(judged: JudgedLabels, class_names: Sequence[str], title: str) -> np.ndarray:
    image = judged.image
    if image is None:
        image = np.zeros((*judged.truth.shape, 3), np.uint8)
    size = (_WIDTH, round(image.shape[0] * _WIDTH / image.shape[1]))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    halves = [
        pictures.caption(
            pictures.overlay_classes(
                small, cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), class_names, 0.5
            ),
            text,
        )
        for labels, text in ((judged.truth, f'truth  {judged.name}'), (judged.prediction, title))
    ]
    return np.hstack(halves)


def _packed(picture: np.ndarray) -> np.ndarray:
    """JPEG bytes: a thousand frames shall fit into memory."""
    return cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]


def _unpacked(data: np.ndarray) -> np.ndarray:
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None  # it is our own JPEG
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def without_nan(value: Any) -> Any:
    """Figures, also nested in dicts and sequences, as JSON has them: None for NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return value


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.2f}'
