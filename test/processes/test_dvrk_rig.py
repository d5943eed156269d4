"""A rig like a dVRK's, end to end: camera, `surgseg up`, recorder, and the recording again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from harness import FRAME_ID, Graph, graph, output, wait_for
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from synthetic_stereo import raw_calibration, raw_views_of_plane

from surgseg_ros.bags import BagReader
from surgseg_ros.bags.stereo_bag import StereoBag
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.messages import disparity_from_message, stamp_of

DISPARITY = 'stereo_msgs/msg/DisparityImage'
INFOS = {'left': '/dvrk/left/camera_info', 'right': '/dvrk/right/camera_info'}
BOTH = '/dvrk/stereo/image_raw'
EYES = {'left': '/dvrk/left/decklink/image_raw', 'right': '/dvrk/right/decklink/image_raw'}
MILLISECOND = 1_000_000  # ns


@dataclass
class Camera:
    """A driver in this process: camera_info once, latched; images with stamps of its own clock.

    stacked: both eyes side by side in one topic; otherwise the right one is 3 to 7 ms later.
    """

    net: Graph
    calibration: StereoCalibration
    stacked: bool

    def __post_init__(self) -> None:
        self.sent = 0
        self._eyes = raw_views_of_plane(self.calibration)
        node = self.net.node
        self.images = {
            topic: node.create_publisher(Image, topic, 2)
            for topic in ([BOTH] if self.stacked else EYES.values())
        }
        self._infos = [self._latch(side) for side in INFOS]

    def _latch(self, side: str) -> Publisher:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        publisher = self.net.node.create_publisher(CameraInfo, INFOS[side], latched)
        header = messages.header(make_message, 1, f'dvrk_{side}')
        camera = getattr(self.calibration, side)
        publisher.publish(messages.camera_info(make_message, header, camera))
        return publisher

    @property
    def arguments(self) -> list[str]:
        """Of `surgseg up`."""
        infos = [f'{side}_info:={topic}' for side, topic in INFOS.items()]
        if self.stacked:
            return [*infos, f'left:={BOTH}', 'stacking:=horizontal']
        return [*infos, *(f'{side}:={topic}' for side, topic in EYES.items())]

    @property
    def options(self) -> dict[str, str]:
        """Of StereoBag, for a recording of it."""
        named = {f'{side}_info': topic for side, topic in INFOS.items()}
        return named | ({'left': BOTH, 'stacking': 'horizontal'} if self.stacked else EYES)

    def is_heard(self) -> bool:
        """Whether the recorder and the node, once for each eye, subscribe to the images."""
        wanted = 3 if self.stacked else 2
        return all(one.get_subscription_count() >= wanted for one in self.images.values())

    def send(self) -> None:
        """Send a frame."""
        stamp = time.time_ns()
        if self.stacked:
            self._publish(BOTH, stamp, np.hstack(self._eyes))
        else:
            for (topic, pixels), later in zip(
                zip(EYES.values(), self._eyes, strict=True), (0, 3 + self.sent % 5), strict=True
            ):
                self._publish(topic, stamp + later * MILLISECOND, pixels)
        self.sent += 1

    def _publish(self, topic: str, stamp: int, pixels: np.ndarray) -> None:
        header = messages.header(make_message, stamp, FRAME_ID)
        image = messages.image(make_message, header, np.ascontiguousarray(pixels), 'rgb8')
        self.images[topic].publish(image)


def record(net: Graph, camera: Camera, bag: Path, period: float, done: Callable[[], bool]) -> None:
    """Run `surgseg up` and a recorder on the camera until done()."""
    up = net.surgseg('up', 'stereo', 'source:=camera', 'rectify:=true', *camera.arguments)
    topics = [*camera.images, *INFOS.values(), 'disparity', 'depth', '/tf']
    recorder = net.start('recorder_node', bag=str(bag), topics=topics)
    net.listen('disparity', DISPARITY)
    wait_for(camera.is_heard, what=net.report)
    # by us and the recorder
    heard = lambda: net.node.count_subscribers('/endoscope/disparity') == 2  # noqa: E731
    wait_for(heard, what=net.report)

    def step() -> bool:
        camera.send()
        time.sleep(period)
        return done()

    wait_for(step, what=lambda: output(up))
    values = net.fresh_values('stereo')
    assert net.stop(up) in (0, 130), output(up)
    assert net.stop(recorder) == 0, output(recorder)
    # only what came before the first camera_info is refused
    assert int(values['paired']) > 0, dict(values)
    assert int(values['rejected']) == 0 or 'camera_info' in values['last reason'], dict(values)
    print(f'{camera.sent} sent, {dict(values)}')


def recorded_disparities(bag: Path) -> dict[int, np.ndarray]:
    with BagReader(bag) as reader:
        return {
            stamp_of(one.message): disparity_from_message(one.message)
            for one in reader.messages(['/endoscope/disparity'])
        }


def replayed_disparities(net: Graph, bag: Path, camera: Camera, frames: int) -> dict:
    """What a node makes of the recording, pair after pair."""
    words = [f'--{name.replace("_", "-")}={value}' for name, value in camera.options.items()]
    net.received['disparity'].clear()
    stereo = net.start('stereo_node', rectify=True)
    replay = net.surgseg('replay', str(bag), '--lockstep', *words)
    wait_for(lambda: replay.poll() is not None, what=lambda: output(replay))
    assert replay.returncode == 0, output(replay)
    assert net.stop(stereo) == 0
    assert f'{frames} frames sent' in output(replay)
    assert 'no disparity for stamp' not in output(replay)  # each pair was answered
    return {stamp_of(one): disparity_from_message(one) for one in net.received['disparity']}


def check_rig(
    net: Graph, camera: Camera, bag: Path, period: float, done: Callable[[], bool]
) -> None:
    """Record the rig, read the recording, and replay it: depth is right and the same each time."""
    record(net, camera, bag, period, done)
    found = recorded_disparities(bag)
    with StereoBag(bag, **camera.options) as frames:
        stamps = [frame.stamp for frame in frames]
        assert frames.calibration.baseline == pytest.approx(camera.calibration.baseline)
    with BagReader(bag) as reader:  # and nobody else publishes there
        counts = [reader.topics[topic].message_count for topic in camera.images]
    assert len(stamps) > 0.9 * camera.sent and max(counts) <= camera.sent
    again = replayed_disparities(net, bag, camera, len(stamps))
    # the first ones may precede discovery: of the live node by the recorder, of the next by us
    both = set(found) & set(again)
    assert both and set(found) | set(again) <= set(stamps)
    scale = camera.calibration.focal_length * camera.calibration.baseline
    for stamp in both:
        np.testing.assert_array_equal(found[stamp], again[stamp])
        assert scale / np.nanmedian(found[stamp]) == pytest.approx(0.08, rel=0.03)
    print(f'{len(stamps)} frames and {len(found)} disparities recorded, {len(again)} replayed')


@pytest.mark.parametrize('stacked', [True, False], ids=['both eyes in a topic', 'two topics'])
def test_some_frames(tmp_path: Path, stacked: bool) -> None:
    with graph() as net:
        camera = Camera(net, raw_calibration(320, 256), stacked)
        received = net.received.setdefault('disparity', [])
        check_rig(net, camera, tmp_path / 'rig.mcap', 0.1, lambda: len(received) > 5)


@pytest.mark.long
def test_a_minute(tmp_path: Path) -> None:
    with graph() as net:
        camera = Camera(net, raw_calibration(1280, 1024), stacked=True)
        first = count()
        begun: list[float] = []

        def done() -> bool:
            if net.received['disparity'] and not begun:
                begun.append(time.monotonic())
            next(first)
            return bool(begun) and time.monotonic() - begun[0] > 60

        check_rig(net, camera, tmp_path / 'rig.mcap', 0.2, done)
