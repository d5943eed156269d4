"""Reading bags of other tools and broken ones; writing bags that survive Ctrl-C and kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from surgseg_ros.bags import BagError, BagReader, BagWriter, UnknownType, make_message
from surgseg_ros.bags.reader import unfinished_path
from surgseg_ros.bags.recovery import recover
from surgseg_ros.bags.types import find_type
from surgseg_ros.rosdata.images import decode_image

STRING = 'std_msgs/msg/String'
REPOSITORY = Path(__file__).resolve().parents[2]


def write_strings(path: Path, count: int = 3, **options) -> Path:
    with BagWriter(path, **options) as writer:
        for index in range(count):
            writer.write('/text', STRING, make_message(STRING, data=str(index)), 100 + index)
    return path


def texts(path: Path) -> list[str]:
    with BagReader(path) as bag:
        return [message.message.data for message in bag.messages()]


# Bags of other tools.


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_every_sensor_message(shared_data: Path, storage: str) -> None:
    folder = shared_data / f'bags/rosbags_rs/test_bag_{storage}'
    with BagReader(folder) as bag:
        assert len(bag.topics) == 94
        read = {m.topic: m for m in bag.messages() if m.type_name.startswith('sensor_msgs')}
        sensor_topics = [n for n, t in bag.topics.items() if t.type_name.startswith('sensor_msgs')]
        assert set(read) == set(sensor_topics) and len(read) >= 25
        assert all(bag.topics[name].message_count == 2 for name in sensor_topics)
        with pytest.raises(ValueError, match='step 1920 and 30 bytes'):  # a made-up payload
            decode_image(read['/test/sensor_msgs/image'].message)
        assert bag.start <= min(m.time for m in read.values()) < bag.end


def test_both_storages_hold_the_same(shared_data: Path) -> None:
    folders = [shared_data / f'bags/rosbags_rs/test_bag_{name}' for name in ('mcap', 'sqlite3')]
    one, two = (
        [(m.topic, m.type_name, bytes(m.message)) for m in BagReader(path).raw_messages()]
        for path in folders
    )
    assert len(one) == len(two) == 188
    assert {entry[:2] for entry in one} == {entry[:2] for entry in two}


def test_bare_files(shared_data: Path, tmp_path: Path) -> None:
    for storage, suffix in (('mcap', 'mcap'), ('sqlite3', 'db3')):
        file = shared_data / f'bags/rosbags_rs/test_bag_{storage}/test_bag_{storage}.{suffix}'
        with BagReader(file) as bag:
            assert sum(1 for _ in bag.messages()) == 188
        folder = tmp_path / storage  # rosbag2 was killed before it wrote metadata.yaml
        folder.mkdir()
        shutil.copy(file, folder)
        with BagReader(folder) as bag:
            assert sum(1 for _ in bag.raw_messages()) == 188


def test_type_names_of_old_bags(tmp_path: Path) -> None:
    """Early rosbag2 wrote package/Name and no definitions."""
    path = write_strings(tmp_path / 'bag.db3')
    import sqlite3

    with sqlite3.connect(path) as database:
        database.execute("UPDATE topics SET type = 'std_msgs/String'")
        for table in ('message_definitions', 'schema', 'metadata'):
            database.execute(f'DROP TABLE {table}')
    database.close()
    with BagReader(path) as bag:
        assert bag.topics['/text'].type_name == STRING
    assert texts(path) == ['0', '1', '2']


def test_the_bag_knows_its_own_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bag brings the definitions of types that this machine does not have."""
    share = tmp_path / 'share' / 'odd_msgs' / 'msg'
    share.mkdir(parents=True)
    (share / 'Odd.msg').write_text('uint8 ODD=1\nOddPart[] parts\n')
    (share / 'OddPart.msg').write_text('geometry_msgs/Point[2] ends\nfloat32[] weights\n')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    script = textwrap.dedent("""
        import sys
        from surgseg_ros.bags import BagWriter, make_message
        part = make_message('odd_msgs/msg/OddPart', weights=[0.5, 2])
        with BagWriter(sys.argv[1]) as writer:
            odd = make_message('odd_msgs/msg/Odd', parts=[part])
            writer.write('/odd', 'odd_msgs/msg/Odd', odd, 5)
    """)
    run_python(script, tmp_path / 'bag.mcap')  # elsewhere, so that we do not get to know the type
    monkeypatch.delenv('AMENT_PREFIX_PATH')
    with pytest.raises(UnknownType, match='odd_msgs/msg/Odd'):
        find_type('odd_msgs/msg/Odd')
    with BagReader(tmp_path / 'bag.mcap') as bag:
        (message,) = bag.messages()
    np.testing.assert_array_equal(message.message.parts[0].weights, [0.5, 2])


def test_topics_filter_times_and_latching(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/once', STRING, latched=True)
        writer.add_topic('/never', STRING)
        writer.write('/once', STRING, make_message(STRING, data='a'), 7)
        writer.write('/often', STRING, make_message(STRING, data='b'), 9)
        assert writer.count == 2
    with BagReader(tmp_path / 'bag') as bag:
        assert {n: (t.message_count, t.latched) for n, t in bag.topics.items()} == {
            '/once': (1, True),
            '/never': (0, False),
            '/often': (1, False),
        }
        assert (bag.start, bag.end) == (7, 9)
        assert [m.message.data for m in bag.messages(['/often'])] == ['b']
        assert list(bag.messages([])) == list(bag.messages(['/not/there'])) == []


# Broken bags.


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3'])
@pytest.mark.parametrize('damage', ['empty', 'half', 'garbage', 'flipped'])
def test_broken_files_give_one_sentence(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    random = np.random.default_rng(0)
    with BagWriter(path) as writer:
        for index in range(400):
            message = make_message(STRING, data=random.bytes(100).hex())
            writer.write('/text', STRING, message, 100 + index)
    content = bytearray(path.read_bytes())
    if damage == 'flipped':
        content[len(content) // 3 : len(content) // 2] = b'\xff' * (
            len(content) // 2 - len(content) // 3
        )
    changed = {
        'empty': b'',
        'half': bytes(content[: len(content) // 2]),
        'garbage': b'nothing like a bag' * 100,
        'flipped': bytes(content),
    }[damage]
    path.write_bytes(changed)
    with pytest.raises(BagError, match=f'{path} cannot be read') as error:
        texts(path)
    assert '\n' not in str(error.value)


def test_paths_that_are_no_bag(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='there is no bag at .*/nowhere$'):
        BagReader(tmp_path / 'nowhere')
    with pytest.raises(BagError, match=r'no metadata.yaml and 0 \.mcap or \.db3 files'):
        BagReader(tmp_path)
    (tmp_path / 'video.mp4').touch()
    with pytest.raises(BagError, match=r'is no bag: expected a folder, or a \.mcap or \.db3'):
        BagReader(tmp_path / 'video.mp4')


def test_metadata_without_its_file(tmp_path: Path) -> None:
    path = write_strings(tmp_path / 'bag')
    (path / 'bag.mcap').unlink()
    with pytest.raises(BagError, match='missing'):
        BagReader(path)


# Writing.


def test_stopping_closes_the_bag_but_does_not_name_it(tmp_path: Path, caplog) -> None:
    with pytest.raises(KeyboardInterrupt), BagWriter(tmp_path / 'bag') as writer:
        writer.write('/text', STRING, make_message(STRING, data='0'), 1)
        raise KeyboardInterrupt
    assert not (tmp_path / 'bag').exists()
    assert texts(writer.remains) == ['0']
    assert f'bag was not finished: what was written is in {writer.remains}' in caplog.text


def run_python(script: str, *arguments: object) -> None:
    subprocess.run(
        [sys.executable, '-c', script, *map(str, arguments)], check=True, cwd=REPOSITORY
    )


ENDLESS = textwrap.dedent("""
    import sys
    from surgseg_ros.bags import BagWriter, make_message
    data = make_message('std_msgs/msg/UInt8MultiArray', data=bytes(300_000))
    with BagWriter(sys.argv[1]) as writer:
        for index in range(1, 10**6):
            writer.write('/data', 'std_msgs/msg/UInt8MultiArray', data, index)
            if index == 20:
                print('going', flush=True)
""")


def interrupted(path: Path, how: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, '-c', ENDLESS, str(path)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout and process.stdout.readline() == b'going\n'
    os.kill(process.pid, how)
    assert process.wait(20) != 0


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3', 'bag'])
def test_ctrl_c_leaves_a_readable_bag_under_another_name(tmp_path: Path, name: str) -> None:
    interrupted(tmp_path / name, signal.SIGINT)
    assert not (tmp_path / name).exists()
    with BagReader(unfinished_path(tmp_path / name) / 'bag') as bag:
        times = [message.time for message in bag.messages()]
    assert len(times) >= 20 and times == list(range(1, len(times) + 1))


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3', 'bag'])
def test_a_killed_writer_leaves_no_bag_but_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    interrupted(path, signal.SIGKILL)
    with pytest.raises(BagError, match='no bag at .* recording was interrupted, .*partial'):
        BagReader(path)
    with pytest.raises(BagError, match='interrupted'):
        BagReader(unfinished_path(path) / 'bag')
    with BagWriter(tmp_path / 'saved') as writer:
        recover(path, writer, lambda sentence: None)
    with BagReader(tmp_path / 'saved') as bag:
        times = [message.time for message in bag.messages()]
    least = 14 if name == 'bag.db3' else 18  # up to the last transaction, or chunk
    assert len(times) >= least and times == list(range(1, len(times) + 1))
    with pytest.raises(BagError, match='exists already'):
        write_strings(path)
    assert texts(write_strings(path, overwrite=True)) == ['0', '1', '2']


def test_threads_may_write_at_once(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/text', STRING)
        start = threading.Barrier(4)

        def write(first: int) -> None:
            start.wait()
            for index in range(50):
                message = make_message(STRING, data=str(first + index))
                writer.write('/text', STRING, message, 1 + index)

        threads = [threading.Thread(target=write, args=(100 * i,)) for i in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert writer.count == 200
    assert len(set(texts(tmp_path / 'bag'))) == 200


def test_never_overwrites_unasked_nor_what_is_no_bag(tmp_path: Path) -> None:
    path = write_strings(tmp_path / 'bag')
    with pytest.raises(BagError, match='bag exists already'):
        BagWriter(path)
    assert texts(write_strings(path, 1, overwrite=True)) == ['0']
    precious = tmp_path / 'precious'
    precious.mkdir()
    (precious / 'thesis.txt').touch()
    with pytest.raises(BagError, match='exists and is no bag'):
        BagWriter(precious, overwrite=True)
    assert (precious / 'thesis.txt').exists()


@pytest.mark.parametrize('name', ['bag', 'bag.mcap', 'bag.db3'])
@pytest.mark.parametrize('written', [0, 2])
def test_an_error_leaves_the_old_bag(tmp_path: Path, name: str, written: int) -> None:
    path = write_strings(tmp_path / name)
    with pytest.raises(OSError, match='disk'), BagWriter(path, overwrite=True) as writer:
        for index in range(written):
            message = make_message(STRING, data=f'new {index}')
            writer.write('/text', STRING, message, 1 + index)
        raise OSError('disk')
    assert texts(path) == ['0', '1', '2']
    remains = unfinished_path(path)
    assert remains.exists() == (written > 0)
    if written:
        assert texts(remains / 'bag') == ['new 0', 'new 1']


def test_the_old_bag_stays_until_the_new_one_is_closed(tmp_path: Path) -> None:
    path = write_strings(tmp_path / 'bag')
    writer = BagWriter(path, overwrite=True)
    writer.write('/text', STRING, make_message(STRING, data='new'), 1)
    assert texts(path) == ['0', '1', '2']
    writer.close()
    assert texts(path) == ['new']


def test_wrong_use_of_the_writer(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='named .* in mcap|names a bag in mcap'):
        BagWriter(tmp_path / 'bag.mcap', storage='sqlite3')
    with pytest.raises(BagError, match="no storage is called 'zip'; known: mcap, sqlite3"):
        BagWriter(tmp_path / 'bag', storage='zip')
    writer = BagWriter(tmp_path / 'bag')
    writer.add_topic('/text', STRING)
    with pytest.raises(BagError, match='/text was added .* before'):
        writer.add_topic('/text', STRING)
    with pytest.raises(BagError, match='/text in .* is std_msgs/msg/String, not'):
        writer.write_raw('/text', 'std_msgs/msg/Int8', b'', 1)
    with pytest.raises(UnknownType, match='no definition of message type no_msgs/msg/No'):
        writer.write_raw('/other', 'no_msgs/msg/No', b'', 1)
    writer.close()
    writer.close()
    with pytest.raises(BagError, match='closed already'):
        writer.write_raw('/text', STRING, b'', 1)


# Types.


def installed_hashes() -> dict[str, str]:
    """Type hashes as rosidl computed them, of all message packages installed here."""
    prefixes = [*filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep))]
    files = [
        file
        for prefix in (*prefixes, sys.prefix)
        for package in ('sensor_msgs', 'stereo_msgs', 'vision_msgs', 'surgseg_ros', 'std_msgs')
        for file in Path(prefix, 'share', package, 'msg').glob('*.json')
    ]
    pairs = [pair for file in files for pair in json.loads(file.read_text())['type_hashes']]
    return {pair['type_name']: pair['hash_string'] for pair in pairs}


def test_type_hashes_are_those_of_rosidl() -> None:
    hashes = installed_hashes()
    if not hashes:
        pytest.skip('no ROS message packages are installed here')
    del hashes['std_msgs/msg/Char']  # rosidl makes char a uint8, rosbags does not; nobody uses it
    ours = {name: find_type(name).hash_rihs01(name) for name in hashes}
    assert {name: h for name, h in ours.items() if h != hashes[name]} == {}


def test_messages_start_at_zero_and_refuse_unknown_fields() -> None:
    pose = make_message('surgseg_ros/msg/ToolPose', slot=2)
    assert (pose.slot, pose.class_name, pose.state) == (2, '', pose.MEASURED)
    np.testing.assert_array_equal(pose.shaft.covariance, np.zeros(36))
    info = make_message('sensor_msgs/msg/CameraInfo')
    assert (info.d.size, info.k.size, info.roi.do_rectify) == (0, 9, False)
    with pytest.raises(TypeError, match='ToolPose has no field colour'):
        make_message('surgseg_ros/msg/ToolPose', colour=1)
