"""Results recorded in a bag, paired with the frames that they are of."""

from collections.abc import Callable, Iterator
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
    with StereoBag(truth or results) as frames, BagReader(results) as bag:
        if topic not in bag.topics:
            raise ValueError(f'{results} has no topic {topic}; it has: {", ".join(bag.topics)}')
        found = ((stamp_of(item.message), item.message) for item in bag.messages([topic]))
        stamp, message = next(found, (None, None))
        for frame in frames:
            while stamp is not None and stamp < frame.stamp:
                stamp, message = next(found, (None, None))
            if stamp == frame.stamp:
                yield frame, decode(message)
