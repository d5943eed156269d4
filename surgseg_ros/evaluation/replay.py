"""A bag replayed through the real nodes of a pipeline, and what they published judged."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from surgseg_ros.bags import BagReader
from surgseg_ros.datasets.endovis17 import TYPES
from surgseg_ros.evaluation import instances, segmentation, stereo
from surgseg_ros.evaluation.evaluators import Evaluator, Frame, Result
from surgseg_ros.evaluation.evaluators.instances import InstanceEvaluator
from surgseg_ros.evaluation.evaluators.segmentation import SegmentationEvaluator
from surgseg_ros.evaluation.evaluators.stereo import StereoEvaluator
from surgseg_ros.evaluation.evaluators.tracking import TrackingEvaluator
from surgseg_ros.evaluation.tables import Table
from surgseg_ros.processes.pipelines import Pipeline, PipelineNode

SOURCE = 'endoscope'
RECORDED = (
    'disparity',
    'disparity_stddev',
    'segmentation',
    'segmentation/label_info',
    'instances',
    'tool_poses',
    'tissue_distance',
    '/diagnostics',
)
ON_IMAGES = ('stereo', 'semantic', 'instance')  # nodes that subscribe to the left image
COUNTS = ('paired', 'out', 'dropped', 'rejected')
AGES = ('age p50 [ms]', 'age p99 [ms]')


class _Figures(Protocol):
    """What every evaluator says, whatever frames it took."""

    def figures(self) -> dict[str, object]: ...
    def table(self) -> Table: ...
    def pictures(self) -> dict[str, np.ndarray]: ...


_Way = Callable[[Path, Path], _Figures]


@dataclass(frozen=True)
class Replay:
    """results: the bag of what the nodes published. nodes: their last diagnostics by name."""

    results: Path
    nodes: Mapping[str, Mapping[str, str]]

    def table(self) -> Table:
        """What each node made of the frames, and how old its outputs were when they went out."""
        rows = tuple(
            (name, (*(values.get(key) for key in COUNTS), *(values.get(key) for key in AGES)))
            for name, values in self.nodes.items()
        )
        return Table('nodes', (*COUNTS, *AGES), rows)


def replay(
    bag: Path,
    pipeline: str,
    given: Mapping[str, str],
    results: Path,
    rate: float = 1.0,
    lockstep: bool = False,
) -> Replay:
    """Play the bag to the nodes of a pipeline, as processes, and record what they publish.

    given: arguments of the pipeline. rate: speed of playing. lockstep: the next pair is sent once
    the disparity of the last has come, so that every frame is computed. Raises ValueError in one
    sentence where the bag, the pipeline or a node fails.
    """
    from surgseg_ros.live.recording import record

    if not bag.exists():
        raise FileNotFoundError(f'there is no bag {bag}')
    if wrong := {'source', 'bag', 'namespace', 'loop'} & set(given):
        raise ValueError(f'{wrong.pop()}:= cannot be given: the bag is played once, by itself')
    nodes = Pipeline.load(pipeline).nodes({'source': str(bag), **given})
    source = next(node for node in nodes if node.name == SOURCE)
    others = [node for node in nodes if node is not source]
    source.parameters.update(
        rate=rate, lockstep=lockstep, subscribers=_on_images(others), patience=60.0
    )
    results.parent.mkdir(parents=True, exist_ok=True)
    values = record([*others, source], [node.name for node in others], results, RECORDED)
    return Replay(results, values)


def _on_images(nodes: Iterable[PipelineNode]) -> int:
    return sum(node.name in ON_IMAGES for node in nodes)


@dataclass(frozen=True)
class Verdict:
    """A recorded topic against the truth; without a table, `reason` says why it was not judged."""

    title: str
    figures: Mapping[str, object] | None = None
    table: Table | None = None
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    reason: str = ''


def judge(results: Path, truth: Path) -> list[Verdict]:
    """Judge disparity, labels, instances and track ids in a bag against the truth of another.

    Frames are those of equal stamp. Raises BagError (a ValueError) where `results` is no bag.
    """
    ways: tuple[tuple[str, str, _Way], ...] = (
        ('disparity', stereo.TOPIC, _disparity),
        ('segmentation', segmentation.TOPIC, _labels),
        ('instances', instances.TOPIC, _instances),
        ('track ids', instances.TOPIC, _tracks),
    )
    with BagReader(results) as bag:
        recorded = set(bag.topics)
    return [
        _verdict(title, way, results, truth) for title, topic, way in ways if topic in recorded
    ]


def _verdict(title: str, way: _Way, results: Path, truth: Path) -> Verdict:
    try:
        evaluator = way(results, truth)
        figures = evaluator.figures()
    except ValueError as error:
        return Verdict(title, reason=str(error))
    return Verdict(title, figures, evaluator.table(), evaluator.pictures())


def _disparity(results: Path, truth: Path) -> _Figures:
    return _filled(StereoEvaluator(keep_pictures=True), stereo.recorded(results, truth))


def _labels(results: Path, truth: Path) -> _Figures:
    names, pairs = segmentation.recorded(results, truth)
    return _filled(SegmentationEvaluator(names, keep_pictures=True), pairs)


def _instances(results: Path, truth: Path) -> _Figures:
    evaluator = InstanceEvaluator(TYPES, keep_pictures=True)
    return _filled(evaluator, instances.recorded(results, truth))


def _tracks(results: Path, truth: Path) -> _Figures:
    return _filled(TrackingEvaluator(), instances.recorded(results, truth))


def _filled(
    evaluator: Evaluator[Frame, Result], pairs: Iterable[tuple[Frame, Result]]
) -> Evaluator[Frame, Result]:
    for frame, result in pairs:
        evaluator.add(frame, result)
    return evaluator
