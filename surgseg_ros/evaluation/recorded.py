"""Results recorded in a bag, paired with the frames that they are of."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from surgseg_ros.bags import BagReader
from surgseg_ros.bags.stereo_bag import StereoBag
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.rosdata.messages import stamp_of

T = TypeVar('T')


def results_by_frame(
    results: Path, truth: Path | None, topic: str, decode: Callable[[Any], T]
) -> Iterator[tuple[StereoFrame, T]]:
    """Yield frames of `truth` (or `results`) with the decoded message of equal stamp.

    Frames without a result are left out. Raises BagError (a ValueError) if a bag or the topic is
    not there.
    """
    for frame, found in recorded_by_frame(results, truth, [topic]):
        yield frame, decode(found[topic])


def recorded_by_frame(
    results: Path, truth: Path | None, topics: Sequence[str]
) -> Iterator[tuple[StereoFrame, dict[str, Any]]]:
    """Yield frames of `truth` (or `results`) with the messages of all topics of equal stamp.

    Frames without all of them are left out. Raises BagError (a ValueError) if a bag or a topic
    is not there.
    """
    with StereoBag(truth or results) as frames, BagReader(results) as bag:
        for topic in topics:
            if topic not in bag.topics:
                raise ValueError(
                    f'{results} has no topic {topic}; it has: {", ".join(bag.topics)}'
                )
        found = groupby(bag.messages(list(topics)), lambda item: stamp_of(item.message))
        groups = ((stamp, {item.topic: item.message for item in items}) for stamp, items in found)
        stamp, messages = next(groups, (None, {}))
        for frame in frames:
            while stamp is not None and stamp < frame.stamp:
                stamp, messages = next(groups, (None, {}))
            if stamp == frame.stamp and len(messages) == len(topics):
                yield frame, messages
