"""Stereo frames in bags: write them with their truth, pair them again."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from surgseg_ros.bags.camera_topics import stereo_topics
from surgseg_ros.bags.pairing import Pair, StampPairing
from surgseg_ros.bags.reader import BagError, BagMessage, BagReader
from surgseg_ros.bags.types import make_message
from surgseg_ros.bags.writer import BagWriter
from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.frames.stacking import split_eyes
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.rectification import rectified_calibration
from surgseg_ros.rosdata.factory import Message
from surgseg_ros.rosdata.frame_messages import frame_messages, truth_from_messages
from surgseg_ros.rosdata.images import decode_compressed, decode_image
from surgseg_ros.rosdata.messages import camera_model_from_info, stamp_of
from surgseg_ros.rosdata.viewer_messages import viewer_messages

T = TypeVar('T')
NAMESPACE = '/endoscope'

_DECODERS = {
    'sensor_msgs/msg/Image': decode_image,
    'sensor_msgs/msg/CompressedImage': decode_compressed,
}
_SETTLING = 500_000_000  # ns of recording after which a frame's truth is not waited for any longer
_MAX_WAITING = 64  # frames' truth kept while their images are missing
_FIRST = 20  # images that tell the frame period, and whether the camera sets stamps
_FIRST_INFOS = 300  # camera_info among which a calibrated one is looked for before the frames


def write_frame(writer: BagWriter, frame: StereoFrame, namespace: str = NAMESPACE) -> None:
    """Append a frame and its truth under `namespace`, recorded at its own stamp.

    The truth is written twice: in the form that is read back, and for viewers.
    """
    every = chain(viewer_messages(make_message, frame), frame_messages(make_message, frame))
    for topic, type_name, message in every:
        name = topic if topic.startswith('/') else f'{namespace}/{topic}'
        writer.write(name, type_name, message, frame.stamp)


class _Recorded(NamedTuple):
    """A pair of image messages that was complete at `time`, ns."""

    pair: Pair
    time: int
    calibration: StereoCalibration | None


class _Cameras:
    """The latest camera_info; one StereoCalibration object as long as they do not change."""

    def __init__(
        self,
        topics: tuple[str, str],
        rectified: bool,
        made: dict[tuple[bytes, ...], StereoCalibration],
    ) -> None:
        self.topics, self._rectified, self._made = topics, rectified, made
        self._cameras: dict[str, CameraModel | None] = {}
        self._keys: dict[str, bytes] = {}

    def read(self, topic: str, message: Message) -> None:
        """Take a camera_info; K = 0 says that the camera is not calibrated."""
        self._cameras[topic] = camera_model_from_info(message) if message.k[0] else None
        said = f'{message.width} {message.height} {message.distortion_model} '.encode()
        self._keys[topic] = said + b''.join(
            np.asarray(getattr(message, name), np.float64).tobytes() for name in 'dkrp'
        )

    @property
    def calibration(self) -> StereoCalibration | None:
        """Of the images; None while a camera_info is missing or not calibrated."""
        left, right = (self._cameras.get(topic) for topic in self.topics)
        if left is None or right is None:
            return None
        key = tuple(self._keys[topic] for topic in self.topics)
        if key not in self._made:
            pair = StereoCalibration(left, right)
            self._made[key] = rectified_calibration(pair) if self._rectified else pair
        return self._made[key]


class StereoBag:
    """Stereo frames of a bag, in order; iterate as often as needed; a context manager.

    left, right, left_info, right_info, stacking, left_only: which topics they are made of, see
    camera_topics.stereo_topics. rectified: whether the images are, whatever they are called.
    tolerance: ns by which the stamps of a pair may differ (0: equal stamps; None: half the frame
    period, and the closest win); a frame has the left one, and each stamp comes once. Where a
    camera sets no stamps (all 0, or standing still), the times of recording take their place.
    note: called with one sentence for each peculiarity.
    count: frames there can be at most, as the bag says. rate: Hz, by the stamps, None if unknown.
    calibration: the first one; frames have that of the camera_info before them, None without or if
    it is not calibrated (K = 0); of image_rect that of rectified images.
    Raises BagError (no bag, no stereo camera); iterating, BagError if no stamps of left and right
    match, ValueError for pixels that make no image.
    """

    def __init__(
        self,
        path: str | Path,
        left: str | None = None,
        tolerance: int | None = None,
        rectified: bool = False,
        note: Callable[[str], object] = lambda sentence: None,
        **topics: Any,
    ) -> None:
        self._bag = BagReader(path)
        self.path = self._bag.path
        self.tolerance, self._note = tolerance, note
        self._made: dict[tuple[bytes, ...], StereoCalibration] = {}
        try:
            self.topics = stereo_topics(self._bag, left, **topics)
            self.rectified = rectified or self.topics.rectified
            self.calibration = self._first_calibration()
            self._standing, self._period = self._clock()
        except BaseException:
            self._bag.close()
            raise
        eyes = [self._bag.topics[topic] for topic in (self.topics.left, self.topics.right)]
        self.count = min(topic.message_count for topic in eyes)
        self.rate = round(1e9 / self._period, 3) if self._period else None

    def as_recorded(self, camera: StereoCalibration) -> StereoCalibration:
        """Calibration of the images of this bag, where `camera` is that of the raw camera."""
        return rectified_calibration(camera) if self.rectified else camera

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
        eyes = self._eyes()
        tolerance = self._period // 2 if self.tolerance is None else self.tolerance
        pairing = StampPairing(tolerance)
        cameras = self._cameras()
        truths: dict[int, dict[str, Message]] = {}
        pairs: deque[_Recorded] = deque()
        time = count = 0
        for message in self._bag.messages([*eyes, *cameras.topics, *names]):
            time, topic = message.time, message.topic
            if topic in cameras.topics:
                cameras.read(topic, message.message)
            elif topic in names:
                truths.setdefault(self._stamp(message), {})[names[topic]] = message.message
            else:
                stamp = self._stamp(message)
                for side in eyes[topic]:
                    found = pairing.add(side, stamp, message.message)
                    pairs.extend(_Recorded(pair, time, cameras.calibration) for pair in found)
                    count += len(found)
            while pairs and (
                len(truths.get(pairs[0].pair.stamp, ())) == len(names)
                or time - pairs[0].time > _SETTLING
            ):
                yield self._frame(pairs.popleft(), truths)
        found = pairing.finish()
        pairs.extend(_Recorded(pair, time, cameras.calibration) for pair in found)
        apart = pairing.least_difference()
        if count + len(found) == 0 and apart is not None:
            raise BagError(
                f'{self.path} has no pair: the stamps of left and right are {apart / 1e6:g} ms '
                f'apart or more, {tolerance / 1e6:g} ms are tolerated'
            )
        while pairs:
            yield self._frame(pairs.popleft(), truths)

    def _eyes(self) -> dict[str, list[str]]:
        """Sides that the images of each topic show."""
        if self.topics.stacking:
            return {self.topics.left: ['left', 'right']}
        return {self.topics.left: ['left'], self.topics.right: ['right']}

    def _cameras(self) -> _Cameras:
        """Those that the first camera_info describe, for images recorded before them."""
        topics = self.topics.left_info, self.topics.right_info
        cameras = _Cameras(topics, self.rectified, self._made)
        for topic in cameras.topics:
            for first in islice(self._bag.messages([topic]), 1):
                cameras.read(topic, first.message)
        return cameras

    def _first_calibration(self) -> StereoCalibration | None:
        cameras = self._cameras()
        infos = islice(self._bag.messages(cameras.topics), _FIRST_INFOS)
        while cameras.calibration is None:
            message = next(infos, None)
            if message is None:
                return None
            cameras.read(message.topic, message.message)
        return cameras.calibration

    def _clock(self) -> tuple[bool, int]:
        """Whether the camera sets no stamps, and the usual time between frames, ns; 0 unknown."""
        standing = any(map(self._stands_still, self._eyes()))
        if standing:
            self._note(
                f'{self.path}: the header stamps of the images stand still, the times of '
                'recording take their place'
            )
        first = islice(self._bag.messages([self.topics.left]), _FIRST)
        times = np.unique([one.time if standing else stamp_of(one.message) for one in first])
        return standing, int(np.median(np.diff(times))) if times.size > 1 else 0

    def _stands_still(self, topic: str) -> bool:
        first = list(islice(self._bag.messages([topic]), _FIRST))
        stamps = {stamp_of(one.message) for one in first}
        recorded = {one.time for one in first}
        return stamps == {0} or len(stamps) == 1 and len(recorded) > 2

    def _stamp(self, message: BagMessage) -> int:
        return message.time if self._standing else stamp_of(message.message)

    def _frame(self, recorded: _Recorded, truths: dict[int, dict[str, Message]]) -> StereoFrame:
        pair = recorded.pair
        truth = truth_from_messages(truths.pop(pair.stamp, {}), recorded.calibration)
        _forget_oldest(truths)
        left, right = self._images(pair)
        return StereoFrame(
            stamp=pair.stamp,
            left=left,
            right=right,
            calibration=recorded.calibration,
            frame_id=pair.left.header.frame_id,
            truth=truth,
        )

    def _images(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        decode_left = _DECODERS[self._bag.topics[self.topics.left].type_name]
        if self.topics.stacking:
            return split_eyes(decode_left(pair.left), self.topics.stacking)
        decode_right = _DECODERS[self._bag.topics[self.topics.right].type_name]
        return decode_left(pair.left), decode_right(pair.right)


def _forget_oldest(waiting: dict[int, T]) -> None:
    """Drop what has waited for too long (messages of one topic are in order)."""
    while len(waiting) > _MAX_WAITING:
        del waiting[next(iter(waiting))]
