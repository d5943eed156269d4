"""Frames through bags and back, in both storages; finding and pairing the images of a bag."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_frames import PERIOD, assert_same_frame, fake_calibration, fake_frames, fake_truth

from surgseg_ros.bags import BagError, BagReader, BagWriter, make_message
from surgseg_ros.bags.stereo_bag import StereoBag, stereo_topics, write_frame
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.frame_messages import frame_messages, is_rectified
from surgseg_ros.sources import BagSource

IMAGE = 'sensor_msgs/msg/Image'
INFO = 'sensor_msgs/msg/CameraInfo'


def write_bag(path: Path, frames, storage: str | None = None, namespace: str = '/endoscope'):
    with BagWriter(path, storage) as writer:
        for frame in frames:
            write_frame(writer, frame, namespace)
    return path


def write_images(path: Path, stamps: dict[str, list[int]]) -> Path:
    """A bag of tiny grey images; a pixel's value tells the index of its image."""
    entries = [(s, topic, i) for topic, own in stamps.items() for i, s in enumerate(own)]
    with BagWriter(path) as writer:
        for stamp, topic, index in sorted(entries):
            header = messages.header(make_message, stamp, 'camera')
            pixels = np.full((2, 2), index, np.uint8)
            writer.write(
                topic, IMAGE, messages.image(make_message, header, pixels, 'mono8'), stamp
            )
    return path


@pytest.mark.parametrize('name', ['bag', 'bag.mcap', 'bag.db3'])
@pytest.mark.parametrize('truth', [True, False])
def test_round_trip(tmp_path: Path, name: str, truth: bool) -> None:
    frames = fake_frames(truth=truth)
    with StereoBag(write_bag(tmp_path / name, frames)) as bag:
        assert (bag.count, bag.rate) == (len(frames), 10.0)
        for _ in range(2):  # a bag can be read again and again
            for actual, expected in zip(bag, frames, strict=True):
                assert_same_frame(actual, expected)


def test_sqlite3_folder(tmp_path: Path) -> None:
    frames = fake_frames(2)
    path = write_bag(tmp_path / 'bag', frames, storage='sqlite3')
    assert (path / 'bag.db3').is_file()
    for actual, expected in zip(StereoBag(path), frames, strict=True):
        assert_same_frame(actual, expected)


def test_topics_as_documented(tmp_path: Path) -> None:
    with BagReader(write_bag(tmp_path / 'bag', fake_frames(1))) as bag:
        assert {name: topic.type_name for name, topic in bag.topics.items()} == {
            '/endoscope/left/image_rect': IMAGE,
            '/endoscope/right/image_rect': IMAGE,
            '/endoscope/left/camera_info': 'sensor_msgs/msg/CameraInfo',
            '/endoscope/right/camera_info': 'sensor_msgs/msg/CameraInfo',
            '/endoscope/ground_truth/disparity': 'stereo_msgs/msg/DisparityImage',
            '/endoscope/ground_truth/depth': IMAGE,
            '/endoscope/ground_truth/parts': IMAGE,
            '/endoscope/ground_truth/instances': 'surgseg_ros/msg/InstrumentInstances',
            '/endoscope/ground_truth/tool_poses': 'surgseg_ros/msg/ToolPoses',
            '/tf': 'tf2_msgs/msg/TFMessage',
        }


@pytest.mark.parametrize('change', ['no calibration', 'distorted'])
def test_unrectified_is_image_raw(tmp_path: Path, change: str) -> None:
    frame = fake_frames(1, truth=False)[0]
    calibration = None
    if change == 'distorted':
        own = fake_calibration()
        calibration = replace(own, left=replace(own.left, D=np.array([0.1, 0, 0, 0, 0])))
    frame = replace(frame, calibration=calibration)
    with StereoBag(write_bag(tmp_path / 'bag', [frame])) as bag:
        assert bag.topics.left == '/endoscope/left/image_raw'
        assert_same_frame(next(iter(bag)), frame)


def write_image_pipeline(path: Path, images: str, calibration) -> Path:
    """A pair under these names beside camera_info that describes the raw cameras."""
    frame = fake_frames(1, truth=False)[0]
    header = messages.header(make_message, frame.stamp, 'camera')
    with BagWriter(path) as writer:
        for eye in ('left', 'right'):
            info = messages.camera_info(make_message, header, getattr(calibration, eye))
            image = messages.image(make_message, header, getattr(frame, eye), 'rgb8')
            writer.write(f'/{eye}/camera_info', INFO, info, frame.stamp)
            writer.write(f'/{eye}/{images}', IMAGE, image, frame.stamp)
    return path


def raw_camera_info():
    own = fake_calibration()
    return replace(own, left=replace(own.left, D=np.array([0.1, 0, 0, 0, 0])))


@pytest.mark.parametrize('images', ['image_rect', 'image_rect_color'])
def test_rectified_images_are_not_rectified_again(tmp_path: Path, images: str) -> None:
    path = write_image_pipeline(tmp_path / 'bag', images, raw_camera_info())
    (frame,) = StereoBag(path)
    assert is_rectified(frame.calibration)
    np.testing.assert_array_equal(frame.calibration.left.P, raw_camera_info().left.P)
    with BagSource(path, calibration=raw_camera_info()) as source:
        assert is_rectified(source.calibration) and is_rectified(next(iter(source)).calibration)
    names = [message.topic for message in frame_messages(make_message, frame)]
    assert 'left/image_rect' in names


def test_raw_images_keep_their_calibration(tmp_path: Path) -> None:
    path = write_image_pipeline(tmp_path / 'bag', 'image_raw', raw_camera_info())
    with BagSource(path, calibration=raw_camera_info()) as source:
        assert source.calibration.left.D[0] == 0.1
    (frame,) = StereoBag(path)
    assert frame.calibration.left.D[0] == 0.1


def test_disparity_without_principal_offset_in_message(tmp_path: Path) -> None:
    calibration = fake_calibration(offset=1.5)
    frame = replace(fake_frames(1)[0], calibration=calibration)
    path = write_bag(tmp_path / 'bag', [frame])
    with BagReader(path) as bag:
        stored = next(bag.messages(['/endoscope/ground_truth/disparity'])).message
    depth = stored.f * stored.t / messages.disparity_from_message(stored)
    true = calibration.focal_length * calibration.baseline / (frame.truth.disparity - 1.5)
    np.testing.assert_allclose(depth, true, rtol=1e-5)
    back = next(iter(StereoBag(path))).truth.disparity
    np.testing.assert_allclose(back, frame.truth.disparity, rtol=1e-6)


def test_same_frames_same_bytes(tmp_path: Path) -> None:
    for storage in ('mcap', 'sqlite3'):
        for name in ('one', 'two'):
            write_bag(tmp_path / storage / name, fake_frames(3), storage)
        one, two = (sorted((tmp_path / storage / name).iterdir()) for name in ('one', 'two'))
        assert [path.name for path in one] == [path.name for path in two]
        assert len(one) == 2
        for first, second in zip(one, two, strict=True):
            assert first.read_bytes() == second.read_bytes(), first.name


def test_truth_that_arrives_late(tmp_path: Path) -> None:
    """As in a live recording: truth comes 0.3 s after its images, and one is missing."""
    frames = fake_frames(12)
    entries = []
    with BagWriter(tmp_path / 'source') as writer:
        for frame in frames:
            write_frame(writer, frame)
    with BagReader(tmp_path / 'source') as bag:
        for topic, type_name, time, data in bag.raw_messages():
            late = 3 * PERIOD if 'ground_truth' in topic else 0
            if not ('disparity' in topic and time == frames[4].stamp):
                entries.append((time + late, topic, type_name, data))
    with BagWriter(tmp_path / 'late') as writer:
        for time, topic, type_name, data in sorted(entries, key=lambda entry: entry[0]):
            writer.write_raw(topic, type_name, data, time)
    expected = list(frames)
    expected[4] = replace(frames[4], truth=replace(frames[4].truth, disparity=None))
    for actual, wanted in zip(StereoBag(tmp_path / 'late'), expected, strict=True):
        assert_same_frame(actual, wanted)


def test_exact_stamps_drop_what_has_no_partner(tmp_path: Path) -> None:
    left, right = [10, 20, 30, 40], [10, 30, 35, 40, 50]
    path = write_images(tmp_path / 'bag', {'/left/image_raw': left, '/right/image_raw': right})
    frames = [(f.stamp, f.left[0, 0, 0], f.right[0, 0, 0]) for f in StereoBag(path)]
    assert frames == [(10, 0, 0), (30, 2, 1), (40, 3, 3)]


@pytest.mark.parametrize('tolerance', [12, None])
def test_tolerance_pairs_unsynchronised_eyes(tmp_path: Path, tolerance: int | None) -> None:
    assert paired(tmp_path, [100, 200, 300, 400], [103, 198, 390], tolerance) == [
        (100, 0, 0),
        (200, 1, 1),
        (400, 3, 2),
    ]


def paired(folder: Path, left: list[int], right: list[int], tolerance: int | None = None):
    """Stamp, index of the left and of the right image of every frame."""
    path = write_images(folder / 'bag', {'/left/image_raw': left, '/right/image_raw': right})
    with StereoBag(path, tolerance=tolerance) as bag:
        return [(f.stamp, f.left[0, 0, 0], f.right[0, 0, 0]) for f in bag]


@pytest.mark.parametrize(
    ('left', 'right', 'expected'),
    [
        ([100, 200, 300], [140, 240, 340], [(100, 0, 0), (200, 1, 1), (300, 2, 2)]),
        ([100, 200, 300], [60, 100, 200], [(100, 0, 1), (200, 1, 2)]),  # exact ones win
        ([100, 200, 300], [60, 103, 198], [(100, 0, 1), (200, 1, 2)]),  # closer ones win
        ([100, 200, 300], [160, 260], [(200, 1, 0), (300, 2, 1)]),
        ([100, 133, 166, 200], [110, 176], [(100, 0, 0), (166, 2, 1)]),  # right eye half as fast
    ],
)
def test_closest_stamps_are_paired(tmp_path: Path, left, right, expected) -> None:
    assert paired(tmp_path, left, right) == expected


@pytest.mark.parametrize(('tolerance', 'tolerated'), [(0, '0 ms'), (2_000_000, '2 ms')])
def test_eyes_that_never_meet_are_said(tmp_path: Path, tolerance: int, tolerated: str) -> None:
    left, right = [100_000_000, 200_000_000], [103_000_000, 203_000_000]
    with pytest.raises(BagError, match=f'are 3 ms apart or more, {tolerated} are tolerated'):
        paired(tmp_path, left, right, tolerance)
    with StereoBag(tmp_path / 'bag') as bag:
        assert len(list(bag)) == 2


def test_a_stamp_comes_once(tmp_path: Path) -> None:
    """A pair sent again in lockstep is recorded twice."""
    frames = fake_frames(3)
    path = write_bag(tmp_path / 'bag', [frames[0], frames[0], frames[1], frames[1], frames[2]])
    for actual, expected in zip(StereoBag(path), frames, strict=True):
        assert_same_frame(actual, expected)


@pytest.mark.parametrize(
    ('images', 'expected'),
    [
        (['/left/image_raw', '/right/image_raw', '/left/image_rect', '/right/image_rect'],
         '/left/image_rect'),
        (['/davinci_endo/left/image_raw', '/davinci_endo/right/image_raw', '/overview/image'],
         '/davinci_endo/left/image_raw'),
        (['/endo/camera_left/image', '/endo/camera_right/image'], '/endo/camera_left/image'),
        (['/left_arm/stereo/left/image', '/left_arm/stereo/right/image'],
         '/left_arm/stereo/left/image'),
    ],
)  # fmt: skip
def test_finds_the_stereo_camera(tmp_path: Path, images: list[str], expected: str) -> None:
    path = write_images(tmp_path / 'bag', {topic: [10] for topic in images})
    with StereoBag(path) as bag:
        assert bag.topics.left == expected
        assert len(list(bag)) == 1


def test_two_cameras_need_a_choice(tmp_path: Path) -> None:
    topics = [f'/{name}/{eye}/image' for name in ('a', 'b') for eye in ('left', 'right')]
    path = write_images(tmp_path / 'bag', {topic: [10] for topic in topics})
    with pytest.raises(BagError, match='left image topic.*: /a/left/image, /b/left/image$'):
        StereoBag(path)
    assert StereoBag(path, left='/b/left/image').topics.right == '/b/right/image'
    with pytest.raises(BagError, match='no stereo pair with left image /c; it has: /a'):
        StereoBag(path, left='/c')


def test_no_stereo_camera(tmp_path: Path) -> None:
    path = write_images(tmp_path / 'bag', {'/left/image': [10], '/overview/image': [10]})
    with pytest.raises(BagError, match='left image topic of a stereo pair; it has: none'):
        stereo_topics(BagReader(path))


def test_compressed_images(tmp_path: Path) -> None:
    import cv2

    frame = fake_frames(1)[0]
    with BagWriter(tmp_path / 'bag') as writer:
        for eye, pixels in (('left', frame.left), ('right', frame.right)):
            message = make_message(
                'sensor_msgs/msg/CompressedImage',
                header=messages.header(make_message, frame.stamp, 'camera'),
                format='rgb8; png compressed bgr8',
                data=cv2.imencode('.png', pixels[..., ::-1])[1].tobytes(),
            )
            topic = f'/{eye}/image_raw/compressed'
            writer.write(topic, 'sensor_msgs/msg/CompressedImage', message, frame.stamp)
    (actual,) = StereoBag(tmp_path / 'bag')
    np.testing.assert_array_equal(actual.left, frame.left)
    np.testing.assert_array_equal(actual.right, frame.right)


def test_instances_outside_their_image_are_refused() -> None:
    truth = fake_truth(48, 64, 0)
    message = messages.instrument_instance(make_message, truth.instances, 1, 'tool')
    with pytest.raises(ValueError, match='does not fill its box .* in an image of 10 x 10'):
        messages.instance_parts(message, 10, 10)
