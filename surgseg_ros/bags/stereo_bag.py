"""Stereo frames in bags: write them with their truth, find and pair them again."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from surgseg_ros.bags.pairing import Pair, StampPairing
from surgseg_ros.bags.reader import BagError, BagReader
from surgseg_ros.bags.types import make_message
from surgseg_ros.bags.writer import BagWriter
from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.rectification import rectified_calibration
from surgseg_ros.rosdata.frame_messages import TRUTH_TYPES, frame_messages, truth_from_messages
from surgseg_ros.rosdata.images import decode_compressed, decode_image
from surgseg_ros.rosdata.messages import camera_model_from_info, stamp_of

NAMESPACE = '/endoscope'

_DECODERS = {
    'sensor_msgs/msg/Image': decode_image,
    'sensor_msgs/msg/CompressedImage': decode_compressed,
}
# The best of several images of one camera, as image_pipeline names them; others come after.
_PREFERENCE = ('image_rect_color', 'image_rect', 'image_color', 'image_raw')
_SETTLING = 500_000_000  # ns of recording after which a frame's truth will not come any more
_MAX_WAITING = 64  # frames' truth kept while their images are missing
_FIRST = 10  # images that tell the frame period


def write_frame(writer: BagWriter, frame: StereoFrame, namespace: str = NAMESPACE) -> None:
    """Append a frame and its truth under `namespace`, recorded at its own stamp."""
    for topic, type_name, message in frame_messages(make_message, frame):
        name = topic if topic.startswith('/') else f'{namespace}/{topic}'
        writer.write(name, type_name, message, frame.stamp)


@dataclass(frozen=True)
class StereoTopics:
    """Names of the topics that make up a stereo camera in a bag; truth by its relative name."""

    left: str
    right: str
    left_info: str
    right_info: str
    truth: dict[str, str] = field(default_factory=dict)

    @property
    def rectified(self) -> bool:
        """Whether the images are called rectified, as image_pipeline does."""
        return _image_name(self.left).startswith('image_rect')


def stereo_topics(bag: BagReader, left: str | None = None) -> StereoTopics:
    """Find the stereo camera of a bag, by types and names.

    A pair of images differs in `left` and `right` only; of a camera's images the rectified one is
    taken. Raises BagError, naming the candidates, unless there is exactly one such camera; `left`
    chooses by the left image's topic.
    """
    rights = _image_pairs(bag)
    cameras: dict[str, str] = {}
    for topic in sorted(rights, key=_rank):
        cameras.setdefault(_camera(topic), topic)
    if left is None and len(cameras) != 1:
        names = ', '.join(cameras.values()) or 'none'
        raise BagError(f'{bag.path} needs the left image topic of a stereo pair; it has: {names}')
    left = left or next(iter(cameras.values()))
    if left not in rights:
        names = ', '.join(rights) or 'none'
        raise BagError(f'{bag.path} has no stereo pair with left image {left}; it has: {names}')
    right = rights[left]
    root = _camera(left).rpartition('/')[0]
    truth = {name: f'{root}/{name}' for name in TRUTH_TYPES if f'{root}/{name}' in bag.topics}
    return StereoTopics(left, right, _info(left), _info(right), truth)


def _image_pairs(bag: BagReader) -> dict[str, str]:
    """Right image topic by left image topic."""
    images = {name for name, topic in bag.topics.items() if topic.type_name in _DECODERS}
    pairs = {name: re.sub(r'left(?!.*left)', 'right', name) for name in sorted(images)}
    return {left: right for left, right in pairs.items() if left != right and right in images}


def _camera(topic: str) -> str:
    """Topic prefix of a camera: what is before /image_rect or /image_rect/compressed."""
    return _uncompressed(topic).rpartition('/')[0]


def _image_name(topic: str) -> str:
    return _uncompressed(topic).rpartition('/')[2]


def _uncompressed(topic: str) -> str:
    return topic.removesuffix('/compressed')


def _rank(topic: str) -> tuple[int, bool, str]:
    name = _image_name(topic)
    known = _PREFERENCE.index(name) if name in _PREFERENCE else len(_PREFERENCE)
    return known, topic.endswith('/compressed'), topic


def _info(topic: str) -> str:
    return f'{_camera(topic)}/camera_info'


class _Recorded(NamedTuple):
    """A pair of image messages that was complete at `time`, ns."""

    pair: Pair
    time: int
    calibration: StereoCalibration | None


class StereoBag:
    """Stereo frames of a bag, in order; iterate as often as needed; a context manager.

    left: topic of the left image, if the bag holds several stereo cameras. tolerance: ns by which
    the stamps of a pair may differ (0: equal stamps; None: half the frame period, and the closest
    win); a frame has the left one, and each stamp comes once. count: frames
    there can be at most. rate: Hz, None if unknown. calibration: that of the camera_info read
    last, None without or if it is not calibrated (K = 0); of image_rect that of rectified images.
    Raises BagError (no bag, no stereo camera); iterating, BagError if no stamps of both eyes meet,
    ValueError for pixels that make no image.
    """

    def __init__(
        self, path: str | Path, left: str | None = None, tolerance: int | None = None
    ) -> None:
        self._bag = BagReader(path)
        self.path = self._bag.path
        self.tolerance = tolerance
        try:
            self.topics = stereo_topics(self._bag, left)
        except BagError:
            self._bag.close()
            raise
        eyes = [self._bag.topics[topic] for topic in (self.topics.left, self.topics.right)]
        self.count = min(topic.message_count for topic in eyes)
        duration = self._bag.end - self._bag.start
        self.rate = round(1e9 * (self.count - 1) / duration, 3) if duration else None
        self._cameras: dict[str, CameraModel | None] = {}
        for topic in (self.topics.left_info, self.topics.right_info):
            for first in islice(self._bag.messages([topic]), 1):
                self._read_info(topic, first.message)

    @property
    def calibration(self) -> StereoCalibration | None:
        """Of the camera_info messages read last."""
        left = self._cameras.get(self.topics.left_info)
        right = self._cameras.get(self.topics.right_info)
        if left is None or right is None:
            return None
        return self.as_recorded(StereoCalibration(left, right))

    def as_recorded(self, camera: StereoCalibration) -> StereoCalibration:
        """Calibration of the images of this bag, where `camera` is that of the raw camera."""
        return rectified_calibration(camera) if self.topics.rectified else camera

    def close(self) -> None:
        """Close the bag."""
        self._bag.close()

    def __enter__(self) -> 'StereoBag':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[StereoFrame]:
        """Yield frames; each waits for its truth, at most half a second of recording."""
        names = {topic: name for name, topic in self.topics.truth.items()}
        eyes = {self.topics.left: 'left', self.topics.right: 'right'}
        tolerance = self._half_period() if self.tolerance is None else self.tolerance
        pairing = StampPairing(tolerance)
        truths: dict[int, dict[str, Any]] = {}
        pairs: deque[_Recorded] = deque()
        time = count = 0
        infos = (self.topics.left_info, self.topics.right_info)
        for topic, _, time, message in self._bag.messages([*eyes, *infos, *names]):
            if topic in infos:
                self._read_info(topic, message)
            elif topic in names:
                truths.setdefault(stamp_of(message), {})[names[topic]] = message
            else:
                found = pairing.add(eyes[topic], stamp_of(message), message)
                pairs.extend(_Recorded(pair, time, self.calibration) for pair in found)
                count += len(found)
            while pairs and (
                len(truths.get(pairs[0].pair.stamp, ())) == len(names)
                or time - pairs[0].time > _SETTLING
            ):
                yield self._frame(pairs.popleft(), truths)
        found = pairing.finish()
        pairs.extend(_Recorded(pair, time, self.calibration) for pair in found)
        apart = pairing.least_difference()
        if count + len(found) == 0 and apart is not None:
            raise BagError(
                f'{self.path} has no pair: the stamps of left and right are {apart / 1e6:g} ms '
                f'apart or more, {tolerance / 1e6:g} ms are tolerated'
            )
        while pairs:
            yield self._frame(pairs.popleft(), truths)

    def _half_period(self) -> int:
        """Half the usual time between the first left images, ns; 0 if there is but one."""
        first = islice(self._bag.messages([self.topics.left]), _FIRST)
        periods = np.diff(np.unique([stamp_of(message.message) for message in first]))
        return int(np.median(periods)) // 2 if periods.size else 0

    def _read_info(self, topic: str, message: Any) -> None:
        self._cameras[topic] = camera_model_from_info(message) if message.k[0] else None

    def _frame(self, recorded: _Recorded, truths: dict[int, dict[str, Any]]) -> StereoFrame:
        pair = recorded.pair
        truth = truth_from_messages(truths.pop(pair.stamp, {}), recorded.calibration)
        _forget_oldest(truths)
        decode_left = _DECODERS[self._bag.topics[self.topics.left].type_name]
        decode_right = _DECODERS[self._bag.topics[self.topics.right].type_name]
        return StereoFrame(
            stamp=pair.stamp,
            left=decode_left(pair.left),
            right=decode_right(pair.right),
            calibration=recorded.calibration,
            frame_id=pair.left.header.frame_id,
            truth=truth,
        )


def _forget_oldest(waiting: dict[int, Any]) -> None:
    """Drop what has waited for too long (messages of one topic are in order)."""
    while len(waiting) > _MAX_WAITING:
        del waiting[next(iter(waiting))]
