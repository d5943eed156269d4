"""Save what an interrupted recording, or a damaged file, still holds.

Layout of mcap: magic, records (opcode uint8, length uint64, content), magic; messages lie in
chunks, and the last records repeat schemas and channels and list the chunks
(https://mcap.dev/spec). Only the records themselves are needed here.
"""

import shutil
import sqlite3
import struct
from collections.abc import Callable, Generator, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

from rosbags.interfaces import MessageDefinition
from rosbags.rosbag2.storage_mcap import Schema, get_msgdef, get_qos, read_bytes, read_string
from rosbags.typesys.store import Typestore

from surgseg_ros.bags.chunks import DamagedChunk, before_damage, decompressed
from surgseg_ros.bags.reader import (
    ROS1,
    BagError,
    BagReader,
    is_latched,
    storage_files,
    unfinished_path,
)
from surgseg_ros.bags.types import UnknownType, find_type, full_name, types_of_definition
from surgseg_ros.bags.writer import BagWriter
from surgseg_ros.frames.foreign import printable
from surgseg_ros.media.progress import progress

_MAGIC = b'\x89MCAP0\r\n'
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _CHUNK_INDEX, _FOOTER = 3, 4, 5, 6, 8, 2
_KNOWN = range(1, 0x10)  # opcodes
_RECORD = struct.Struct('<BQ')
_MESSAGE_HEAD = struct.Struct('<HIQQ')
_SUPER_JOURNAL = bytes.fromhex('d9d505f920a163d7')
_FOOTER_SIZE = _RECORD.size + 20 + len(_MAGIC)


class _Channel(NamedTuple):
    topic: str
    type_name: str
    definition: MessageDefinition
    latched: bool


class _Saved(NamedTuple):
    """One message of a damaged file."""

    channel: _Channel
    time: int
    data: bytes


def recover(path: Path, writer: BagWriter, note: Callable[[str], object]) -> None:
    """Write to `writer` every message that is still there in the recording `path`.

    path: the bag as it should be called, its folder or a file of it, or what BagWriter left of
    it; a recording in several files is saved as one. note: called with one sentence about
    what is lost. Raises BagError if there is nothing to recover.
    """
    for file in find_remains(path):
        if file.suffix == ROS1:
            raise BagError(f'{file} is a bag of ROS 1, which `rosbag reindex` mends, not this')
        if file.suffix == '.db3':
            _recover_sqlite3(file, writer, note)
        else:
            _recover_mcap(file, writer, note)


def find_remains(path: Path) -> list[Path]:
    """Storage files of a recording: `path` itself, or what BagWriter left of the bag `path`.

    Raises BagError if there is none.
    """
    if path.is_file():
        return [path]
    for folder in (path, path / 'bag', unfinished_path(path) / 'bag'):
        if folder.is_dir() and (found := storage_files(folder)):
            return found
    raise BagError(f'there are no remains of a recording at {path}')


# mcap.


def _recover_mcap(file: Path, writer: BagWriter, note: Callable[[str], object]) -> None:
    output = _Output(writer, note)
    with file.open('rb') as source:
        if source.read(len(_MAGIC)) != _MAGIC:
            raise BagError(f'{file} is no mcap file')
        salvage = _Salvage(source, file.stat().st_size)
        for saved in salvage.messages():
            output.write(saved)
    if salvage.damaged:
        note(
            f'{file}: {salvage.damaged} of {salvage.chunks} chunks are damaged; what they held '
            'behind the damage is lost'
        )
    if salvage.unknown:
        note(f'{file}: {salvage.unknown} records that describe topics or types are damaged')
    if salvage.cut:
        note(f'{file} ends too early: what was recorded last is missing')


class _Salvage:
    """Reads the messages of a damaged mcap file.

    chunks, damaged: how many there were, and of these how many damaged. unknown: records that
    describe topics and cannot be read. cut: whether the file ends within a record or without its
    end.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.chunks = self.damaged = self.unknown = 0
        self.cut = True
        self._file, self._size = file, size
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, _Channel] = {}

    def messages(self) -> Iterator[_Saved]:
        """Those of every whole chunk; of a damaged one, and of the last, as far as it goes."""
        starts = self._indexed_chunks()
        at: int | None = len(_MAGIC)
        while at is not None and at < self._size:
            starts.discard(at)
            end = yield from self._record(at)
            if end is None and starts:  # the chain is broken: go on at a chunk that is listed
                later = [start for start in sorted(starts) if start > at]
                end = later[0] if later else None
            at = end

    def _record(self, at: int) -> Generator[_Saved, None, int | None]:
        """Yield the messages of the record at this offset; return where the next one begins."""
        self._file.seek(at)
        head = self._file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return None
        opcode, length = _RECORD.unpack(head)
        if opcode == _FOOTER:
            self.cut = False
        if opcode not in _KNOWN or opcode == _FOOTER:
            return None
        whole = at + _RECORD.size + length <= self._size
        if opcode in (_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK) and (whole or opcode == _CHUNK):
            content = self._file.read(min(length, self._size))
            yield from (
                self._chunk(content, whole) if opcode == _CHUNK else self._take(opcode, content)
            )
        return at + _RECORD.size + length if whole else None

    def _chunk(self, content: bytes, whole: bool) -> Iterator[_Saved]:
        self.chunks += 1
        try:
            records = decompressed(content, whole).records
        except DamagedChunk:
            self.damaged += 1
            records = before_damage(content)
        at = 0
        while at + _RECORD.size <= len(records):
            opcode, length = _RECORD.unpack_from(records, at)
            at += _RECORD.size
            if at + length > len(records):
                return
            yield from self._take(opcode, records[at : at + length])
            at += length

    def _take(self, opcode: int, content: bytes) -> Iterator[_Saved]:
        """Remember a schema or a channel; yield a message whose channel is known."""
        if opcode in (_SCHEMA, _CHANNEL):
            try:
                (self._read_schema if opcode == _SCHEMA else self._read_channel)(content)
            except Exception:  # whatever broken bytes make rosbags raise
                self.unknown += 1
        elif opcode == _MESSAGE and len(content) >= _MESSAGE_HEAD.size:
            number, _, time, _ = _MESSAGE_HEAD.unpack_from(content)
            if channel := self._channels.get(number):
                yield _Saved(channel, time, content[_MESSAGE_HEAD.size :])

    def _read_schema(self, content: bytes) -> None:
        record = BytesIO(content)
        number = int.from_bytes(record.read(2), 'little')
        name, encoding = read_string(record), read_string(record)
        self._schemas[number] = Schema(number, name, encoding, read_bytes(record).decode())

    def _read_channel(self, content: bytes) -> None:
        record = BytesIO(content)
        number, schema_number = struct.unpack('<HH', record.read(4))
        topic, _, metadata = read_string(record), read_string(record), read_bytes(record)
        schema = self._schemas.get(schema_number)
        name = full_name(schema.name) if schema else ''
        latched = is_latched(get_qos(metadata))
        self._channels[number] = _Channel(topic, name, get_msgdef(schema), latched)

    def _indexed_chunks(self) -> set[int]:
        """Offsets of the chunks that the summary lists; takes its schemas and channels, too."""
        found: set[int] = set()
        self._file.seek(max(self._size - _FOOTER_SIZE, 0))
        footer = self._file.read(_FOOTER_SIZE)
        if not footer.endswith(_MAGIC) or footer[0] != _FOOTER:
            return found
        at, end = int.from_bytes(footer[9:17], 'little'), self._size - _FOOTER_SIZE
        while len(_MAGIC) <= at < end:
            self._file.seek(at)
            opcode, length = _RECORD.unpack(self._file.read(_RECORD.size))
            content = self._file.read(min(length, end))
            if opcode == _CHUNK_INDEX and len(content) >= 24:
                found.add(int.from_bytes(content[16:24], 'little'))
            elif opcode in (_SCHEMA, _CHANNEL):
                list(self._take(opcode, content))
            at += _RECORD.size + length
        return found


class _Output:
    """Writes messages of known types; reports each other topic once as lost."""

    def __init__(self, writer: BagWriter, note: Callable[[str], object]) -> None:
        self._writer, self._note = writer, note
        self._lost: set[str] = set()

    def write(self, saved: _Saved) -> None:
        channel = saved.channel
        if channel.topic in self._lost:
            return
        if channel.topic not in self._writer.topics:
            try:
                types = _types(channel)
            except UnknownType as error:
                self._lost.add(channel.topic)
                self._note(f'{printable(channel.topic)} is left out: {error}')
                return
            self._writer.add_topic(channel.topic, channel.type_name, channel.latched, types)
        self._writer.write_raw(channel.topic, channel.type_name, saved.data, saved.time)


def _types(channel: _Channel) -> Typestore:
    try:
        return types_of_definition(channel.type_name, channel.definition)
    except UnknownType:
        return find_type(channel.type_name)


# sqlite3.


def _recover_sqlite3(file: Path, writer: BagWriter, note: Callable[[str], object]) -> None:
    """Let sqlite apply the write-ahead log or journal of the file, in a copy."""
    with TemporaryDirectory(dir=writer.path.resolve().parent) as folder:
        _copy_closed(file, Path(folder) / 'copy.db3')
        with BagReader(Path(folder) / 'copy.db3') as bag:
            before = writer.count
            try:
                copy_messages(bag, list(bag.topics), writer, note)
            except BagError as error:
                note(f'what comes after {writer.count - before} messages is lost: {error}')


def _copy_closed(file: Path, copy: Path) -> None:
    for ending in ('', '-wal', '-shm', '-journal'):
        beside = file.with_name(file.name + ending)
        if beside.exists():
            shutil.copy(beside, copy.with_name(copy.name + ending))
    _check_journal(copy.with_name(copy.name + '-journal'))
    try:
        database = sqlite3.connect(copy)
        database.execute('PRAGMA journal_mode = DELETE').fetchall()
        database.close()
    except sqlite3.Error as error:
        raise BagError(f'{file} cannot be read: {printable(error)}') from None
    for ending in ('-wal', '-shm', '-journal'):
        copy.with_name(copy.name + ending).unlink(missing_ok=True)


def _check_journal(journal: Path) -> None:
    """Refuse a journal that names a super-journal: sqlite would delete the file of that name.

    The name is at the end, before this magic (https://www.sqlite.org/fileformat2.html, 3.1).
    """
    if journal.exists() and journal.read_bytes().endswith(_SUPER_JOURNAL):
        raise BagError(f'{journal.name} names another file to be deleted: it is of no recording')


def copy_messages(
    bag: BagReader, topics: list[str], writer: BagWriter, note: Callable[[str], object]
) -> None:
    """Write these topics of a bag; those of unknown types are reported and left out."""
    known = [name for name in topics if _announced(bag, name, writer, note)]
    total = sum(bag.topics[name].message_count for name in known)
    for message in progress(bag.raw_messages(known), total, 'messages'):
        writer.write_raw(message.topic, message.type_name, message.message, message.time)


def _announced(
    bag: BagReader, name: str, writer: BagWriter, note: Callable[[str], object]
) -> bool:
    topic = bag.topics[name]
    try:
        types = bag.types_of(topic.type_name)
    except UnknownType as error:
        note(f'{printable(name)} is left out, {topic.message_count} messages: {error}')
        return False
    if name not in writer.topics:
        writer.add_topic(name, topic.type_name, topic.latched, types)
    return True
