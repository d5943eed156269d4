"""endoscope_node: any FrameSource (simulator, bag, video, folders) as a live endoscope."""

import struct
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import ClassVar

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from stereo_msgs.msg import DisparityImage

from surgseg_ros.frames.foreign import printable
from surgseg_ros.frames.stacking import STACKINGS
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.nodes.managed_node import RELIABLE, ManagedNode, run
from surgseg_ros.nodes.messages import make_message, message_type
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.rosdata.frame_messages import frame_messages
from surgseg_ros.rosdata.messages import NANOSECONDS, time_message
from surgseg_ros.sources import DEFAULT_RATE, FrameSource, open_source

SETTLING = 1.0  # s between knowing a subscriber and being known by it
RESEND = (
    3.0  # s, at least, until a pair without an answer is sent again; receivers drop duplicates
)
LONGEST_WAIT = 3.0  # s between two frames; stamps may jump by years when a clock is set
SHORT = 600_000_000  # ns; the stamps of a shorter loop continue instead of jumping back


class EndoscopeNode(ManagedNode):
    """Publishes left and right image, camera_info, and truth under ground_truth/.

    Frames keep the stamps of their source. In lockstep the next pair is sent when `disparity` of
    the last one has come back, however long that takes; otherwise frames go out at the source's
    own pace times `rate`.
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ManagedNode.PARAMETERS,
        Parameter(
            'source',
            'sim',
            'sim[:option=value,...], a bag, a stereo video, a folder with '
            'left/ and right/, or LEFT,RIGHT',
        ),
        Parameter('calibration', '', 'calibration file, for a source without one'),
        Parameter(
            'stacking',
            'auto',
            'how one image of a video, or of a topic in a bag, holds both cameras',
            choices=('auto', *STACKINGS),
        ),
        Parameter('rate', 1.0, 'speed of playback; 2 is twice as fast', range=(0.01, 100.0)),
        Parameter('frames', 0, 'frames to publish, 0 all', range=(0, 10**9)),
        Parameter('loop', False, 'start again at the end; stamps jump back, as in a looped bag'),
        Parameter('clock', False, 'publish /clock with the stamps (nodes with use_sim_time)'),
        Parameter('lockstep', False, 'wait for `disparity` of a pair before sending the next'),
        Parameter(
            'lockstep_timeout',
            30.0,
            'seconds after which a missing answer is no longer waited for',
            range=(0.1, 3600.0),
        ),
        Parameter(
            'subscribers',
            1,
            'subscribers of the left image to wait for before the first frame',
            range=(0, 100),
        ),
        Parameter('patience', 5.0, 'longest time to wait for subscribers, s', range=(0.0, 3600.0)),
        Parameter('left', '', 'topic of the left image in a bag with several stereo cameras'),
        Parameter('right', '', 'topic of the right image in a bag'),
        Parameter('left_info', '', 'topic of the left camera_info in a bag'),
        Parameter('right_info', '', 'topic of the right camera_info in a bag'),
        Parameter('rectified', False, 'the images are rectified already, whatever their names'),
        Parameter(
            'tolerance',
            -1.0,
            'largest difference of left and right stamps in a bag, s; 0: equal, '
            '-1: half a frame period',
            range=(-1.0, 1.0),
        ),
    )
    WAITS: ClassVar[bool] = False

    def __init__(self, **options: object) -> None:
        super().__init__('endoscope', **options)
        self.sent = 0

    # Lifecycle.

    def configure(self) -> None:
        """Open the source."""
        self._topics: dict[str, Publisher] = {}
        self._clock_ticks = self.publisher(Clock, '/clock') if self.p.clock else None
        stacking = None if self.p.stacking == 'auto' else self.p.stacking
        tolerance = None if self.p.tolerance < 0 else round(self.p.tolerance * NANOSECONDS)
        # One thread owns the source: a renderer's OpenGL context cannot change threads.
        self._thread = ThreadPoolExecutor(1, 'source')
        self._source = self._thread.submit(
            open_source,
            self.p.source,
            calibration=self.p.calibration or None,
            stacking=stacking,
            left=self.p.left or None,
            right=self.p.right or None,
            left_info=self.p.left_info or None,
            right_info=self.p.right_info or None,
            rectified=self.p.rectified or None,
            tolerance=tolerance,
        ).result()
        self.get_logger().info(printable(self._source.describe()))

    def activate(self) -> None:
        """Begin to publish."""
        self._stopping = threading.Event()
        self._answer = threading.Condition()
        self._answered = -1
        self._resend = RESEND
        self._answers = (
            self.create_subscription(
                DisparityImage, 'disparity', self._take_answer, RELIABLE, raw=True
            )
            if self.p.lockstep
            else None
        )
        self._publishing = self._thread.submit(self._publish_all)

    def deactivate(self) -> None:
        """Stop after the frame being sent."""
        self._stopping.set()
        self._publishing.result()
        if self._answers:
            self.destroy_subscription(self._answers)

    def cleanup(self) -> None:
        """Close the source and remove the publishers."""
        if hasattr(self, '_source'):
            self._thread.submit(self._source.close).result()
            del self._source
        self._thread.shutdown()
        super().cleanup()

    def diagnose(self) -> tuple[bytes, str, Mapping[str, str]]:
        """Frames sent."""
        return DiagnosticStatus.OK, f'{self.sent} frames sent', {'sent': str(self.sent)}

    # Frames, in the source's thread.

    def _publish_all(self) -> None:
        try:
            for frame in self._paced(_frames(self._source, self.p.loop, self.p.frames)):
                self._publish(frame)
                self.sent += 1
                if self.p.lockstep:
                    self._await_answer(frame)
        except Exception as error:  # a broken file must not end in silence
            self._fault = f'source failed after {self.sent} frames: {error}'
            self.get_logger().error(printable(self._fault))
        self.get_logger().info(printable(f'{self.sent} frames sent'))
        self.finished = not self._stopping.is_set()  # the source has ended, or is broken

    def _paced(self, frames: Iterator[StereoFrame]) -> Iterator[StereoFrame]:
        """Yield each frame when it is due; a late one shifts the rest."""
        start, first, last = time.monotonic(), None, 0
        for frame in frames:
            if self._stopping.is_set():
                return
            if first is None:
                self._await_subscriber(frame)
            if first is None or frame.stamp < last:
                start, first = time.monotonic(), frame.stamp
            last = frame.stamp
            due = start + (frame.stamp - first) / NANOSECONDS / self.p.rate
            wait = 0.0 if self.p.lockstep else due - time.monotonic()
            start -= min(wait, 0.0)
            if wait > LONGEST_WAIT:
                self.get_logger().warning(
                    printable(
                        f'the stamps jump by {wait * self.p.rate:.0f} s: '
                        f'waiting {LONGEST_WAIT:g} s'
                    )
                )
                start -= wait - LONGEST_WAIT
                wait = LONGEST_WAIT
            if self._stopping.wait(max(wait, 0.0)):
                return
            yield frame

    def _await_subscriber(self, frame: StereoFrame) -> None:
        """Announce the topics and wait for subscribers, because early frames would be lost.

        Subscribers of the left image, because not every node uses the right one.
        """
        left, _ = [
            self._publisher_of(topic, type_name)
            for topic, type_name, _ in frame_messages(make_message, frame)
        ][-2:]
        deadline = time.monotonic() + self.p.patience
        while time.monotonic() < deadline and not self._stopping.wait(0.02):
            listening = left.get_subscription_count() >= self.p.subscribers
            if listening and (not self.p.lockstep or self.count_publishers('disparity')):
                self._stopping.wait(SETTLING)
                return

    def _publisher_of(self, topic: str, type_name: str) -> Publisher:
        if topic not in self._topics:
            self._topics[topic] = self.publisher(message_type(type_name), topic)
        return self._topics[topic]

    def _publish(self, frame: StereoFrame) -> None:
        if self._clock_ticks:
            self._clock_ticks.publish(Clock(clock=time_message(make_message, frame.stamp)))
        for topic, type_name, message in frame_messages(make_message, frame):
            self._publisher_of(topic, type_name).publish(message)

    def _take_answer(self, data: bytes) -> None:
        """Read the stamp of a serialised DisparityImage: its first field after the CDR head."""
        seconds, nanoseconds = struct.unpack_from('<iI', data, 4)
        with self._answer:
            self._answered = seconds * NANOSECONDS + nanoseconds
            self._answer.notify()

    def _await_answer(self, frame: StereoFrame) -> None:
        """Wait for the disparity; send again what a best-effort subscriber may have lost."""
        sent, timeout = time.monotonic(), self.p.lockstep_timeout
        while not self._answered_within(min(self._resend, timeout), frame.stamp):
            if time.monotonic() > sent + timeout:
                self.get_logger().warning(
                    printable(
                        f'no disparity for stamp {frame.stamp / NANOSECONDS:.3f} s within '
                        f'{self.p.lockstep_timeout:g} s; going on'
                    )
                )
                return
            self._publish(frame)
        self._resend = max(self._resend, 2 * (time.monotonic() - sent))

    def _answered_within(self, seconds: float, stamp: int) -> bool:
        """Whether the answer came, or the node is to stop."""
        end = time.monotonic() + seconds
        with self._answer:
            while self._answered != stamp and not self._stopping.is_set():
                if time.monotonic() > end:
                    return False
                self._answer.wait(0.2)
        return True


def _frames(source: FrameSource, loop: bool, limit: int) -> Iterator[StereoFrame]:
    return islice(_endless(source) if loop else source, limit or None)


def _endless(source: FrameSource) -> Iterator[StereoFrame]:
    """Play repeatedly. A step back of a few frames would look like frames out of order."""
    shift = 0
    while True:
        first, stamp = None, 0
        for frame in source:
            first, stamp = frame.stamp if first is None else first, frame.stamp
            yield replace(frame, stamp=stamp + shift)
        if first is None:
            return
        if stamp - first < SHORT:
            shift += stamp - first + round(NANOSECONDS / (source.rate or DEFAULT_RATE))


def main() -> int:
    """Run endoscope_node."""
    return run(EndoscopeNode)


if __name__ == '__main__':
    raise SystemExit(main())
