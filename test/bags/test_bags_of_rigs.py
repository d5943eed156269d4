"""Bags of real recorders: names, stamps, stacked eyes, damage, ROS 1; nothing lost, or said."""

import shutil
import sqlite3
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_frames import PERIOD, assert_same_frame, fake_calibration, fake_frames
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_typestore

from surgseg_ros.bags import BagError, BagReader, BagWriter, UnknownType, make_message
from surgseg_ros.bags.camera_topics import stereo_topics
from surgseg_ros.bags.recovery import copy_messages, recover
from surgseg_ros.bags.stereo_bag import StereoBag, write_frame
from surgseg_ros.bags.types import types_of_definition
from surgseg_ros.rosdata import messages
from surgseg_ros.sources import open_left, open_source

IMAGE, INFO = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
STRING = 'std_msgs/msg/String'


def write_images(path: Path, topics: Sequence[str], count: int = 3, stacked: bool = False) -> Path:
    frames = fake_frames(count, truth=False)
    with BagWriter(path) as writer:
        for frame in frames:
            header = messages.header(make_message, frame.stamp, frame.frame_id)
            for eye, topic in enumerate(topics):
                pixels = np.hstack([frame.left, frame.right]) if stacked else (
                    frame.left, frame.right)[eye % 2]  # fmt: skip
                image = messages.image(make_message, header, np.ascontiguousarray(pixels), 'rgb8')
                writer.write(topic, IMAGE, image, frame.stamp)
    return path


def write_frames(path: Path, frames, times: Sequence[int] | None = None) -> Path:
    """Frames with their camera_info, recorded at other times than their stamps."""
    with BagWriter(path) as writer:
        for index, frame in enumerate(frames):
            with BagWriter(path.with_name('one.mcap'), overwrite=True) as one:
                write_frame(one, frame)
            with BagReader(path.with_name('one.mcap')) as bag:
                for topic, type_name, time, data in bag.raw_messages():
                    writer.write_raw(topic, type_name, data, times[index] if times else time)
    return path


# Names of topics.


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        ('/camera/infra1/image_rect_raw', '/camera/infra2/image_rect_raw'),
        ('/cam0/image_raw', '/cam1/image_raw'),
        ('/endo/camera_0/image', '/endo/camera_1/image'),
        ('/jhu/left/decklink/jhu_left/image', '/jhu/right/decklink/jhu_right/image'),
        ('/left_arm/left/image', '/left_arm/right/image'),
        ('/endo/l/image_raw', '/endo/r/image_raw'),
        ('/rig/image_l', '/rig/image_r'),
        ('/Left/image', '/Right/image'),
    ],
)
def test_pairs_by_name(tmp_path: Path, left: str, right: str) -> None:
    with StereoBag(write_images(tmp_path / 'bag', [left, right])) as bag:
        assert (bag.topics.left, bag.topics.right) == (left, right)
        assert len(list(bag)) == 3


def test_topics_as_told(tmp_path: Path) -> None:
    path = write_images(tmp_path / 'bag', ['/endoscope/a', '/endoscope/b', '/overview'])
    with pytest.raises(
        BagError, match='it has: none .*of its images /endoscope/a, /endoscope/b, '
    ):
        StereoBag(path)
    with StereoBag(path, left='/endoscope/b', right='/endoscope/a') as bag:
        first = next(iter(bag))
    np.testing.assert_array_equal(first.right, fake_frames(1)[0].left)
    for name in ('right', 'left_info'):
        with pytest.raises(BagError, match='has no topic /c; it has: /endoscope/a'):
            StereoBag(path, left='/endoscope/a', **{name: '/c'})


def test_many_numbers_need_a_choice(tmp_path: Path) -> None:
    path = write_images(tmp_path / 'bag', ['/cam0/image', '/cam1/image', '/cam2/image'])
    with pytest.raises(BagError, match='it has: /cam0/image, /cam1/image$'):
        StereoBag(path)
    assert StereoBag(path, left='/cam1/image').topics.right == '/cam2/image'


def test_both_eyes_in_one_topic(tmp_path: Path) -> None:
    path = write_images(tmp_path / 'bag', ['/dvrk/stereo/image_raw'], stacked=True)
    with pytest.raises(BagError, match='one that holds both eyes with --stacking'):
        StereoBag(path)
    with open_source(path, stacking='horizontal', calibration=fake_calibration()) as source:
        assert 'both eyes side by side' in source.describe()
        for actual, expected in zip(source, fake_frames(3, truth=False), strict=True):
            assert_same_frame(actual, expected)
    with pytest.raises(ValueError, match='images of size 128x48, .* for the size 64x48'):
        list(open_left(path, calibration=fake_calibration()))


def test_camera_info_of_stacked_eyes(tmp_path: Path) -> None:
    path = write_images(tmp_path / 'bag', ['/dvrk/stereo/image_raw'], stacked=True)
    calibration = fake_calibration()
    with BagReader(path) as bag, BagWriter(tmp_path / 'with') as writer:
        for side in ('left', 'right'):
            header = messages.header(make_message, 5, 'camera')
            info = messages.camera_info(make_message, header, getattr(calibration, side))
            writer.write(f'/dvrk/{side}/camera_info', INFO, info, 5)
        copy_messages(bag, list(bag.topics), writer, print)
    with StereoBag(tmp_path / 'with', stacking='horizontal') as bag:
        assert bag.topics.right_info == '/dvrk/right/camera_info'
        assert next(iter(bag)).calibration.baseline == pytest.approx(0.0043)


def test_one_eye(tmp_path: Path) -> None:
    path = write_images(tmp_path / 'bag', ['/camera/image_raw'])
    with open_left(path) as source:
        assert source.describe().startswith(f'bag {path} (/camera/image_raw, one eye): 3 frames')
        assert len(list(source)) == 3
    with pytest.raises(BagError, match='left image topic of a stereo pair; it has: none'):
        open_source(path)
    two = write_images(tmp_path / 'two', ['/a/image_raw', '/b/image_raw'])
    with pytest.raises(BagError, match=r'with one eye \(--left\); it has: /a/image_raw, /b'):
        open_left(two)
    assert len(list(open_left(two, left='/b/image_raw'))) == 3


# Time.


@pytest.mark.parametrize('stamp', [0, 7 * 10**9])
def test_stamps_that_stand_still(tmp_path: Path, stamp: int) -> None:
    frames = [replace(frame, stamp=stamp) for frame in fake_frames(6)]
    times = [10**18 + i * PERIOD for i in range(6)]
    with open_source(write_frames(tmp_path / 'bag', frames, times)) as source:
        assert source.rate == 10.0
        read = list(source)
    assert [frame.stamp for frame in read] == times
    assert source.notes == [
        f'{tmp_path}/bag: the header stamps of the images stand still, the times of recording '
        'take their place'
    ]
    for actual, expected in zip(read, fake_frames(6), strict=True):  # with their truth
        assert_same_frame(replace(actual, stamp=expected.stamp), expected)


def test_the_rate_is_that_of_the_stamps(tmp_path: Path) -> None:
    """A bag recorded in bursts, with a pause."""
    times = [10**18, 10**18 + 1, 10**18 + 2, 10**18 + 10**10, 10**18 + 10**10 + 1]
    with open_source(write_frames(tmp_path / 'bag', fake_frames(5), times)) as source:
        assert source.rate == 10.0


# Calibration.


def test_each_frame_has_its_own_camera_info(tmp_path: Path) -> None:
    other = fake_calibration(offset=2.0)
    frames = fake_frames(6)
    frames[3:] = [replace(frame, calibration=other) for frame in frames[3:]]
    with open_source(write_frames(tmp_path / 'bag', frames)) as source:
        offsets = [frame.calibration.principal_offset for frame in source]
    assert offsets == [0.0] * 3 + [2.0] * 3
    assert len(source.notes) == 1 and 'changes (each frame has its own) from frame 3' in str(
        source.notes
    )


def test_a_camera_info_that_turns_meaningless(tmp_path: Path) -> None:
    own = fake_calibration()
    swapped = replace(own, right=replace(own.right, P=own.right.P * [[1, 1, 1, -1]]))
    frames = fake_frames(4)
    frames[2:] = [replace(frame, calibration=swapped) for frame in frames[2:]]
    source = open_source(write_frames(tmp_path / 'bag', frames))
    with pytest.raises(ValueError, match='calibration of frame 2 of bag .* eyes are swapped'):
        list(source)


def test_camera_info_that_comes_late(tmp_path: Path) -> None:
    own = fake_calibration()
    empty = [replace(one, K=0 * one.K, P=0 * one.P) for one in (own.left, own.right)]
    frames = fake_frames(5)
    frames[:2] = [replace(f, calibration=type(own)(*empty), truth=None) for f in frames[:2]]
    with open_source(write_frames(tmp_path / 'bag', frames)) as source:
        assert source.calibration is not None
        assert [frame.calibration is None for frame in source] == [True] * 2 + [False] * 3


def test_images_of_another_size(tmp_path: Path) -> None:
    frames = [replace(f, calibration=fake_calibration(128, 96)) for f in fake_frames(2)]
    source = open_source(write_frames(tmp_path / 'bag', frames))
    with pytest.raises(ValueError, match='frame 0 of bag .* of size 64x48, .* size 128x96'):
        list(source)


# Damage.


def strings(path: Path) -> list[str]:
    with BagReader(path) as bag:
        return [message.message.data for message in bag.messages()]


def write_strings(path: Path, numbers: range, size: int = 1000) -> Path:
    """Messages of random text, so that a chunk is as large as it looks."""
    with BagWriter(path) as writer:
        for number in numbers:
            text = np.random.default_rng(number).bytes(size).hex()
            message = make_message(STRING, data=f'{number} {text}')
            writer.write('/text', STRING, message, 10**9 + number)
    return path


def saved(broken: Path, folder: Path) -> tuple[list[int], list[str]]:
    """Numbers of the messages that are recovered, and what is said."""
    notes: list[str] = []
    with BagWriter(folder / 'saved') as writer:
        recover(broken, writer, notes.append)
    return [int(text.split()[0]) for text in strings(folder / 'saved')], notes


def chunk_offsets(raw: bytes) -> list[int]:
    found, at = [], 8
    while at + 9 < len(raw):
        found += [at] if raw[at] == 6 else []
        at += 9 + int.from_bytes(raw[at + 1 : at + 9], 'little')
    return found


@pytest.mark.parametrize('number', [0, 1, 2])
@pytest.mark.parametrize('what', ['content', 'length', 'checksum'])
def test_a_damaged_chunk_is_left_out(tmp_path: Path, number: int, what: str) -> None:
    path = write_strings(tmp_path / 'bag.mcap', range(1500))
    raw = bytearray(path.read_bytes())
    offsets = chunk_offsets(raw)
    assert len(offsets) == 3
    if what == 'content':
        raw[offsets[number] + 61 : offsets[number] + 261] = bytes(200)
    elif what == 'length':  # the chain of records is broken
        raw[offsets[number] + 1 : offsets[number] + 9] = b'\xff' * 8
    else:
        raw[offsets[number] + 5000] ^= 1
    path.write_bytes(raw)
    found, notes = saved(path, tmp_path)
    assert found == sorted(found)
    if what == 'length':  # nothing is lost: the list of chunks says where the next one is
        assert len(found) == 1500
        return
    assert 900 < len(found) < 1200
    assert any(note.startswith(f'{path}: 1 of 3 chunks are damaged') for note in notes)


def test_what_a_chunk_holds_before_the_damage_is_saved(tmp_path: Path) -> None:
    path = write_strings(tmp_path / 'bag.mcap', range(1500))
    whole = strings(path)
    raw = bytearray(path.read_bytes())
    _, second, third = chunk_offsets(raw)
    damage = (second + third) // 2
    raw[damage : damage + 70_000] = bytes(70_000)  # more than a block
    path.write_bytes(raw)
    found, notes = saved(path, tmp_path)
    in_second = [number for number in found if 530 < number < 1000]
    assert 100 < len(in_second) < 250  # up to the damage, less one block of 128 KiB
    assert set(strings(tmp_path / 'saved')) < set(whole)
    assert any('1 of 3 chunks are damaged' in note for note in notes)


@pytest.mark.parametrize('kept', [0.3, 0.7, 0.95])
def test_the_last_chunk_is_saved_as_far_as_it_goes(tmp_path: Path, kept: float) -> None:
    path = write_strings(tmp_path / 'bag.mcap', range(1500))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    found, notes = saved(path, tmp_path)
    assert found == list(range(len(found))) and abs(len(found) - kept * 1500) < 200
    assert notes[-1] == f'{path} ends too early: what was recorded last is missing'


def test_a_recording_in_several_files(tmp_path: Path) -> None:
    folder = tmp_path / 'rec'
    folder.mkdir()
    for part in (0, 9, 10):  # in natural order
        numbers = range(200 * part, 200 * part + 200)
        write_strings(folder / f'rec_{part}.mcap', numbers, size=10)
    with BagReader(folder) as bag:  # without metadata.yaml
        assert bag.topics['/text'].message_count == 600
    assert [int(text.split()[0]) for text in strings(folder)][::200] == [0, 1800, 2000]
    last = folder / 'rec_10.mcap'
    last.write_bytes(last.read_bytes()[:-30])
    with pytest.raises(BagError, match='recording was interrupted'):
        BagReader(folder)
    found, notes = saved(folder, tmp_path)
    assert len(found) == 600 and 'rec_10.mcap ends too early' in notes[0]


def test_messages_beside_an_sqlite3_file(tmp_path: Path) -> None:
    """A recorder that was killed leaves its last messages in the write-ahead log."""
    path = tmp_path / 'live.db3'
    write_strings(path, range(10), size=10)
    database = sqlite3.connect(path)
    database.execute('PRAGMA journal_mode = WAL')
    database.execute(
        'INSERT INTO messages (topic_id, timestamp, data) '
        'SELECT topic_id, timestamp + 100, data FROM messages'
    )
    database.commit()
    for ending in ('', '-wal', '-shm'):
        shutil.copy(tmp_path / f'live.db3{ending}', tmp_path / f'killed.db3{ending}')
    database.close()
    with pytest.raises(BagError, match='killed.db3-wal lies beside it: .*bags recover'):
        BagReader(tmp_path / 'killed.db3')
    found, _ = saved(tmp_path / 'killed.db3', tmp_path)
    assert found == [*range(10), *range(10)]


def test_a_type_that_nobody_defines_stops_nothing(tmp_path: Path) -> None:
    path = write_strings(tmp_path / 'bag.db3', range(5), size=10)
    with sqlite3.connect(path) as database:
        database.execute(
            'INSERT INTO topics SELECT id + 1, "/odd\x1b[2J", "odd_msgs/msg/Odd", '
            'serialization_format, offered_qos_profiles, type_description_hash FROM topics'
        )
        database.execute('INSERT INTO messages SELECT id + 100, 2, timestamp, data FROM messages')
    database.close()
    notes: list[str] = []
    with BagReader(path) as bag, BagWriter(tmp_path / 'copy') as writer:
        copy_messages(bag, list(bag.topics), writer, notes.append)
    assert len(strings(tmp_path / 'copy')) == 5
    assert len(notes) == 1
    assert notes[0].startswith(r'/odd\x1b[2J is left out, 5 messages: no definition of message')


def test_definitions_that_ask_for_too_much() -> None:
    from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

    for text in ('Empty[4000000000] all\n===\nMSG: evil/Empty\n', 'uint8[99999999999] data\n'):
        definition = MessageDefinition(MessageDefinitionFormat.MSG, text.replace('===', '=' * 80))
        with pytest.raises(UnknownType, match='elements|broken'):
            types_of_definition('evil/msg/Array', definition)


def test_a_chunk_that_claims_gigabytes(tmp_path: Path) -> None:
    path = write_strings(tmp_path / 'bag.mcap', range(10))
    raw = bytearray(path.read_bytes())
    at = chunk_offsets(raw)[0] + 9 + 16
    size = struct.unpack_from('<Q', raw, at)[0]
    path.write_bytes(raw.replace(struct.pack('<Q', size), struct.pack('<Q', 1 << 40)))
    with pytest.raises(BagError, match='claims 1099511627776 bytes'):
        strings(path)


def test_metadata_that_multiplies(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    write_strings(path, range(2))
    levels = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    levels += [f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 9)]
    (path / 'metadata.yaml').write_text('\n'.join(levels))
    with pytest.raises(BagError, match='aliases stand for more than'):
        BagReader(path)


# ROS 1.


def test_bags_of_ros_1(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    frames = fake_frames(3, truth=False)
    with Writer1(tmp_path / 'old.bag') as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=store)
            for side in ('left', 'right')
            for topic, kind in ((f'/{side}/image_rect', IMAGE), (f'/{side}/camera_info', INFO))
        }
        for number, frame in enumerate(frames):
            time = types['builtin_interfaces/msg/Time'](frame.stamp // 10**9, frame.stamp % 10**9)
            header = types['std_msgs/msg/Header'](number, time, 'endoscope_left_optical')
            for side in ('left', 'right'):
                camera, pixels = getattr(frame.calibration, side), getattr(frame, side)
                region = types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
                info = types[INFO](
                    header, 48, 64, 'plumb_bob', camera.D, camera.K.ravel(), camera.R.ravel(),
                    camera.P.ravel(), 0, 0, region)  # fmt: skip
                image = types[IMAGE](header, 48, 64, 'rgb8', 0, 192, pixels.ravel())
                for topic, kind, message in (
                    (f'/{side}/camera_info', INFO, info),
                    (f'/{side}/image_rect', IMAGE, image),
                ):
                    data = store.serialize_ros1(message, kind)
                    writer.write(connections[topic], frame.stamp, data)
    with open_source(tmp_path / 'old.bag') as source:
        for actual, expected in zip(source, frames, strict=True):
            assert_same_frame(actual, expected)
    with BagReader(tmp_path / 'old.bag') as bag, BagWriter(tmp_path / 'new') as copy:
        copy_messages(bag, list(bag.topics), copy, print)
    for actual, expected in zip(StereoBag(tmp_path / 'new'), frames, strict=True):
        assert_same_frame(actual, expected)
    with BagWriter(tmp_path / 'saved') as writer, pytest.raises(BagError, match='rosbag reindex'):
        recover(tmp_path / 'old.bag', writer, print)


# Size.


def test_chunks_are_compressed(tmp_path: Path) -> None:
    image = np.linspace(0, 255, 640 * 512 * 3).astype(np.uint8).reshape(512, 640, 3)
    header = messages.header(make_message, 1, 'camera')
    message = messages.image(make_message, header, image, 'rgb8')
    for name, compress in (('plain.mcap', False), ('small.mcap', True)):
        with BagWriter(tmp_path / name, compress=compress) as writer:
            writer.write('/image', IMAGE, message, 1)
    plain, small = ((tmp_path / name).stat().st_size for name in ('plain.mcap', 'small.mcap'))
    assert small < plain / 10
    with BagReader(tmp_path / 'small.mcap') as bag:
        (read,) = bag.messages()
    np.testing.assert_array_equal(read.message.data.reshape(image.shape), image)


def test_topics_are_found_by_type(tmp_path: Path) -> None:
    bag = BagReader(write_strings(tmp_path / 'bag', range(1)))
    with pytest.raises(BagError, match='it has: none$'):
        stereo_topics(bag)
