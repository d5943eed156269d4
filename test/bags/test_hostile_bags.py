"""Bags of strangers: what they may not make a reader do."""

import bz2
import shutil
import sqlite3
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_frames import fake_frames
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2.storage_mcap import zstd
from rosbags.typesys import Stores, get_typestore

from surgseg_ros.bags import BagError, BagReader, BagWriter, UnknownType, chunks, make_message
from surgseg_ros.bags.recovery import recover
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.bags.types import types_of_definition
from surgseg_ros.sources import open_source

STRING = 'std_msgs/msg/String'
LINE = '=' * 80


def write(path: Path, text: str = 'kept') -> Path:
    with BagWriter(path, compress=False) as writer:
        writer.write('/text', STRING, make_message(STRING, data=text), 1)
    return path


def read(path: Path) -> list[str]:
    with BagReader(path) as bag:
        return [item.message.data for item in bag.messages()]


# Databases.

ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT'
COMPUTING = {
    'an endless view': f"""DROP TABLE message_definitions;
        CREATE VIEW message_definitions AS {ENDLESS} i AS id, 'a' AS topic_type, 'ros2msg' AS
        encoding, '' AS encoded_message_definition, '' AS type_description_hash FROM n""",
    'another': f'DROP TABLE schema; CREATE VIEW schema AS {ENDLESS} i AS schema_version FROM n',
    'a trigger': 'CREATE TRIGGER t AFTER INSERT ON topics BEGIN DELETE FROM messages; END',
    'a virtual table': 'CREATE VIRTUAL TABLE v USING fts5(x)',
    'generated gigabytes': """ALTER TABLE messages RENAME TO old; CREATE TABLE messages (id INTEGER
        PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB AS (zeroblob(1000000000)));
        INSERT INTO messages SELECT id, topic_id, timestamp FROM old""",
}


@pytest.mark.parametrize('name', COMPUTING)
def test_a_database_that_computes_is_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / 'bag.db3')
    with sqlite3.connect(path) as database:
        database.executescript(COMPUTING[name])
    database.close()
    with pytest.raises(BagError, match=r'bag\.db3 cannot be read: .* computes? .*|.* computed'):
        read(path)


def with_super_journal(folder: Path, victim: Path) -> Path:
    """A bag whose writer was killed in a transaction that, its journal says, had another file."""
    live, path = write(folder / 'live.db3'), folder / 'bag.db3'
    database = sqlite3.connect(live)
    database.execute('PRAGMA cache_size = 1')
    database.execute('BEGIN')
    for _ in range(400):
        database.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 2, ?)',
                         (bytes(4000),))  # fmt: skip
    for ending in ('', '-journal'):
        shutil.copy(f'{live}{ending}', f'{path}{ending}')
    database.close()
    name = str(victim).encode()
    tail = struct.pack('>I', (1 << 30) // 4096 + 1) + name
    tail += struct.pack('>II', len(name), sum(name)) + bytes.fromhex('d9d505f920a163d7')
    with Path(f'{path}-journal').open('ab') as journal:
        journal.write(tail)
    return path


def test_recovery_deletes_no_file_that_a_journal_names(tmp_path: Path) -> None:
    victim = tmp_path / 'thesis.txt'
    victim.write_text('kept\n')
    path = with_super_journal(tmp_path, victim)
    with (
        BagWriter(tmp_path / 'saved.mcap') as writer,
        pytest.raises(BagError, match='names another file to be deleted'),
    ):
        recover(path, writer, lambda sentence: None)
    assert victim.read_text() == 'kept\n'


# What is compressed.


def test_a_chunk_of_ros1_that_stands_for_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    writer = Writer1(tmp_path / 'old.bag')
    writer.set_compression(Writer1.CompressionFormat.BZ2)
    bomb = bz2.compress(bytes(chunks.MAX_CHUNK + 1))
    monkeypatch.setattr(writer, 'compressor', lambda data: bomb)
    with writer:
        connection = writer.add_connection('/text', STRING, typestore=store)
        message = store.types[STRING]('kept')
        writer.write(connection, 1, store.serialize_ros1(message, STRING))
    assert len(bomb) < 1000 and (tmp_path / 'old.bag').stat().st_size < 10_000
    with pytest.raises(BagError, match='bytes stand for more than'):
        read(tmp_path / 'old.bag')


def compressed(folder: Path, mode: str, content: bytes) -> Path:
    """A folder whose messages, or whose file, are this in zstd."""
    write(folder)
    text = (folder / 'metadata.yaml').read_text()
    text = text.replace("compression_format: ''", 'compression_format: zstd')
    (folder / 'metadata.yaml').write_text(
        text.replace("compression_mode: ''", f'compression_mode: {mode}').replace(
            'bag.mcap', 'bag.mcap.zstd' if mode == 'file' else 'bag.mcap'
        )
    )
    packed = zstd.compress(content)
    if mode == 'file':
        (folder / 'bag.mcap').unlink()
        (folder / 'bag.mcap.zstd').write_bytes(packed)
        return folder
    (folder / 'bag.mcap').unlink()
    with BagWriter(folder / 'bag.mcap', compress=False) as writer:
        writer.write_raw('/text', STRING, packed, 1)
    return folder


def test_messages_that_stand_for_gigabytes_are_refused(tmp_path: Path) -> None:
    folder = compressed(tmp_path / 'bag', 'message', bytes(chunks.MAX_CHUNK + 1))
    with pytest.raises(BagError, match='bytes stand for more than'):
        read(folder)


def test_files_that_would_fill_the_disk_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / 'whole.mcap').read_bytes()
    folder = compressed(tmp_path / 'bag', 'file', whole)
    assert read(folder) == ['kept']
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=1000))
    with pytest.raises(BagError, match='stands for more than half of the free disk'):
        read(folder)


# Texts.


def merges(levels: int) -> str:
    """QoS profiles that merge ten times what is before them."""
    lines = ['- &a0 {k: 1}']
    for level in range(1, levels):
        lines.append(f'- &a{level} {{<<: [{", ".join([f"*a{level - 1}"] * 10)}]}}')
    return '\n'.join(lines)


@pytest.mark.parametrize('profiles', [merges(12), '[' * 50_000])
def test_profiles_without_end_are_refused(profiles: str, tmp_path: Path) -> None:
    path = write(tmp_path / 'bag.db3')
    with sqlite3.connect(path) as database:
        database.execute('UPDATE topics SET offered_qos_profiles = ?', (profiles,))
    database.close()
    with pytest.raises(BagError, match='aliases stand for more|nested too deeply'):
        read(path)


DEFINITIONS = {
    'lines of code for each text': ('string[9999999] a', 'more than 10000 texts and messages'),
    'the same, nested': (
        f'B[500] b\n{LINE}\nMSG: a/B\nC[500] c\n{LINE}\nMSG: a/C\nstring d',
        'more than 10000 texts and messages',
    ),
    'numbers without end': ('uint8[4294967295] a', 'has an array a of 4294967295 elements'),
    'nothing, 2 ** 32 times': (f'B[] b\n{LINE}\nMSG: a/B\nuint8 ONE=1', 'sequence b of empty'),
    'itself': ('A a', 'contains itself'),
    'each other': (f'B b\n{LINE}\nMSG: a/B\nA a', 'contains itself'),
    'twice as much on each level': (
        'L0 a\nL0 b'
        + ''.join(f'\n{LINE}\nMSG: a/L{i}\nL{i + 1} a\nL{i + 1} b' for i in range(30)),
        'more than 10000|nested too deeply|is broken',
    ),
}


@pytest.mark.parametrize('name', DEFINITIONS)
def test_a_definition_that_asks_for_too_much_is_refused(name: str) -> None:
    text, said = DEFINITIONS[name]
    with pytest.raises(UnknownType, match=said):
        types_of_definition('a/msg/A', MessageDefinition(MessageDefinitionFormat.MSG, text + '\n'))


INJECTED = [
    'uint8 a\nuint8 b = __import__("os").mkdir("PLACE")\n',
    'uint8 a; __import__("os").mkdir("PLACE")\n',
    'uint8 __import__("os").mkdir("PLACE")\n',
    "string A=\"); __import__('os').mkdir('PLACE')#\"\nuint8 b\n",
    'uint8[__import__("os").mkdir("PLACE")] a\n',
    f'B b\n{LINE}\nMSG: a/B") or __import__("os").mkdir("PLACE") or ("\nuint8 a\n',
]


@pytest.mark.parametrize('text', INJECTED)
@pytest.mark.parametrize('kind', [MessageDefinitionFormat.MSG, MessageDefinitionFormat.IDL])
def test_a_definition_is_no_code(text: str, kind: MessageDefinitionFormat, tmp_path: Path) -> None:
    """rosbags writes Python from definitions and runs it."""
    place = tmp_path / 'made'
    definition = text.replace('PLACE', str(place))
    if kind == MessageDefinitionFormat.IDL:
        definition = f'module a {{ module msg {{ struct A {{ {definition}; }}; }}; }};'
    try:
        store = types_of_definition('a/msg/A', MessageDefinition(kind, definition))
        store.deserialize_cdr(b'\x00\x01\x00\x00' + bytes(64), 'a/msg/A')
    except Exception as error:
        assert not isinstance(error, OSError)
    assert not place.exists()


def test_a_count_in_a_header_is_not_believed(tmp_path: Path) -> None:
    """2 ** 62 messages, says the summary; the frames come one by one all the same."""
    path = tmp_path / 'bag.mcap'
    with BagWriter(path) as writer:
        for frame in fake_frames(3):
            write_frame(writer, frame)
    content = bytearray(path.read_bytes())
    struct.pack_into('<Q', content, find_record(content, 0x0B), 1 << 62)
    path.write_bytes(content)
    with open_source(path) as source:
        assert len(list(source)) == 3


def find_record(content: bytes, wanted: int) -> int:
    """Where the content of the first record of this kind begins."""
    at = 8
    while at < len(content):
        kind, length = struct.unpack_from('<BQ', content, at)
        if kind == wanted:
            return at + 9
        at += 9 + length
    raise AssertionError('there is none')
