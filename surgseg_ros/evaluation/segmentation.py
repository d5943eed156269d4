"""Class labels with their truth: of a step on a dataset, or recorded in a bag."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from surgseg_ros.bags import BagReader
from surgseg_ros.datasets import UNLABELLED, SegmentationDataset, SegmentationSample
from surgseg_ros.datasets.endovis17 import TYPES
from surgseg_ros.evaluation.recorded import results_by_frame
from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.frames.stereo_frame import LeftFrame, StereoFrame
from surgseg_ros.perception.semantic import SemanticStep
from surgseg_ros.rosdata.images import decode_labels
from surgseg_ros.sources.base import stamp_at

TOPIC = '/endoscope/segmentation'
Judged = tuple[SegmentationSample, SemanticResult]


def predicted(
    step: SemanticStep, dataset: SegmentationDataset, prompted: bool = False
) -> Iterator[Judged]:
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
        sample = dataset[index]
        before, sequence = sequence, sample.name.rpartition('/')[0]
        sequences += sequence != before
        prompts = np.setdiff1d(sample.labels, [0, UNLABELLED]) if prompted else None
        frame = LeftFrame(stamp_at(index, None), sample.image, jumps=sequences)
        yield sample, step(frame, class_ids=prompts)


def recorded(
    results: Path, truth: Path | None = None, topic: str = TOPIC
) -> tuple[tuple[str, ...], Iterator[Judged]]:
    """Class names and frames of a bag with labels on `topic` and true instances.

    The names are those of `<topic>/label_info`, EndoVis 2017's where it was not recorded. Frames
    come from `truth` if that is another bag. Raises ValueError in one sentence.
    """
    names = _label_info(results, f'{topic}/label_info') or TYPES
    pairs = results_by_frame(results, truth, topic, decode_labels)
    return names, (
        (
            SegmentationSample(
                f'{frame.stamp / 1e9:.3f} s', frame.left, true_classes(frame, names)
            ),
            SemanticResult(labels, class_names=names),
        )
        for frame, labels in pairs
        if frame.truth is not None and frame.truth.instances is not None
    )


def true_classes(frame: StereoFrame, class_names: Sequence[str]) -> np.ndarray:
    """HxW uint8 ids of the true instruments' classes by name; of one class only, it is all theirs.

    Raises ValueError if an instrument in the image belongs to none of the classes.
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
    class_ids: np.ndarray = ids[frame.truth.instances]
    return class_ids


def _label_info(path: Path, topic: str) -> tuple[str, ...]:
    with BagReader(path) as bag:
        if topic not in bag.topics:
            return ()
        message = next(iter(bag.messages([topic]))).message
    names = {entry.class_id: entry.class_name for entry in message.class_map}
    return tuple(names.get(number, f'class {number}') for number in range(max(names) + 1))
