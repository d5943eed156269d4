"""Read bags of ROS 2 (mcap, sqlite3; folder or file) and ROS 1 without a ROS installation."""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from heapq import merge
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.interfaces import Connection, ConnectionExtRosbag1, Qos, QosDurability
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys.store import Typestore

from surgseg_ros.bags import chunks, databases, yaml_texts
from surgseg_ros.bags.ros1 import Ros1Types
from surgseg_ros.bags.types import UnknownType, find_type, full_name, types_of_definition
from surgseg_ros.frames.foreign import printable

STORAGES = {'.mcap': 'mcap', '.db3': 'sqlite3'}
ROS1 = '.bag'

chunks.limit_decompression()
databases.limit_databases()
yaml_texts.limit_yaml()


class BagError(ValueError):
    """A bag that cannot be read or written; one sentence that says why."""


class Topic(NamedTuple):
    """Type (package/msg/Name), number of messages, and whether late subscribers get the last."""

    type_name: str
    message_count: int
    latched: bool


class BagMessage(NamedTuple):
    """One message: `time` is when it was recorded, ns; `message` an object, or CDR bytes."""

    topic: str
    type_name: str
    time: int
    message: Any


class BagReader:
    """A bag folder, or a bare .mcap, .db3 or (ROS 1) .bag file; a context manager.

    topics: Topic by name. start, end: first and last recording time, ns (0 if empty).
    A folder without metadata.yaml is read as one recording in as many files as it has.
    Raises BagError if there is no bag or it is broken. Types are read from the definitions in the
    bag; where it has none (sqlite3 before Iron, bags of other tools), from surgseg_ros.bags.types.
    Messages of ROS 1 are converted to the ROS 2 messages of the same name.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._types: dict[str, Typestore] = {}
        self._ros1 = Ros1Types()
        self._files = ExitStack()
        with _errors(self.path), ExitStack() as opened:
            self._readers = [_reader(part) for part in _storage_paths(self.path)]
            for reader in self._readers:
                opened.enter_context(reader)
            self._files = opened.pop_all()
        self._connections = [one for reader in self._readers for one in reader.connections]
        names = {one.topic for one in self._connections}
        self.topics = {name: self._topic(name) for name in sorted(names)}
        filled = [reader for reader in self._readers if reader.message_count]
        self.start = min((reader.start_time for reader in filled), default=0)
        self.end = max((reader.end_time - 1 for reader in filled), default=0)  # it is the ns after

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Messages of these topics (default: of all) in recording order, as objects."""
        for connection, time, data in self._stored(topics):
            with _errors(self.path, f'{printable(connection.topic)} at {time} ns'):
                message = self._read(connection, data)
            yield BagMessage(connection.topic, full_name(connection.msgtype), time, message)

    def raw_messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Like messages, but as the CDR bytes they are stored as."""
        for connection, time, data in self._stored(topics):
            name = full_name(connection.msgtype)
            if isinstance(connection.ext, ConnectionExtRosbag1):
                with _errors(self.path, f'{printable(connection.topic)} at {time} ns'):
                    message = self._read(connection, data)
                    data = bytes(self.types_of(name).serialize_cdr(message, name))
            yield BagMessage(connection.topic, name, time, data)

    def types_of(self, type_name: str) -> Typestore:
        """Type store that can read this type of this bag; raises UnknownType if there is none."""
        if type_name not in self._types:
            self._types[type_name] = self._find_types(type_name)
        return self._types[type_name]

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def __enter__(self) -> 'BagReader':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find_types(self, type_name: str) -> Typestore:
        for connection in self._connections:
            if full_name(connection.msgtype) != type_name:
                continue
            if isinstance(connection.ext, ConnectionExtRosbag1):
                return self._ros1.target(connection)
            if connection.msgdef.data.strip():
                return types_of_definition(type_name, connection.msgdef)
        return find_type(type_name)

    def _read(self, connection: Connection, data: bytes) -> object:
        if isinstance(connection.ext, ConnectionExtRosbag1):
            return self._ros1.read(connection, data)
        name = full_name(connection.msgtype)
        return self.types_of(name).deserialize_cdr(data, name)

    def _stored(self, topics: Collection[str] | None) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time and bytes of the messages, in the order of all files."""
        streams = []
        for reader in self._readers:
            every = [one for one in reader.connections if topics is None or one.topic in topics]
            if every:
                streams.append(reader.messages(every))
        merged = merge(*streams, key=lambda item: item[1])
        while True:
            with _errors(self.path):
                item = next(merged, None)
            if item is None:
                return
            yield item

    def _topic(self, name: str) -> Topic:
        connections = [one for one in self._connections if one.topic == name]
        count = sum(connection.msgcount for connection in connections)
        latched = any(
            bool(one.ext.latching)
            if isinstance(one.ext, ConnectionExtRosbag1)
            else is_latched(one.ext.offered_qos_profiles)
            for one in connections
        )
        return Topic(full_name(connections[0].msgtype), count, latched)


def is_latched(profiles: Iterable[Qos]) -> bool:
    """Whether a publisher with one of these profiles keeps its last message for late ones."""
    return any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in profiles)


def _reader(path: Path) -> Reader1 | Reader2:
    if path.suffix == ROS1:
        return Reader1(path)
    return Reader2(path)


def is_bag(path: str | Path) -> bool:
    """Whether this looks like a bag: a file named so, or a folder with such files."""
    path = Path(path)
    if path.is_dir():
        return (path / 'metadata.yaml').is_file() or bool(storage_files(path))
    return path.suffix in (*STORAGES, ROS1)


def storage_files(folder: Path) -> list[Path]:
    """The .mcap and .db3 files of a folder, in natural order: rec_10 comes after rec_9."""
    files = [path for path in folder.iterdir() if path.suffix in STORAGES and path.is_file()]
    return sorted(files, key=lambda path: [*map(int, re.findall(r'\d+', path.stem)), path.name])


def unfinished_path(path: Path) -> Path:
    """Where BagWriter keeps the bag `path` until it is closed."""
    return path.with_name(path.name + '.partial')


def _storage_paths(path: Path) -> list[Path]:
    """What to open for `path`: itself, or the files of a folder without metadata.yaml."""
    if not path.exists():
        partial = unfinished_path(path)
        lost = f': its recording was interrupted, {partial} is there (try `surgseg bags recover`)'
        raise BagError(f'there is no bag at {path}{lost if partial.exists() else ""}')
    if not path.is_dir() and path.suffix not in (*STORAGES, ROS1):
        raise BagError(
            f'{path} is no bag: expected a folder, or a .mcap or .db3 file (.bag: ROS 1)'
        )
    files = storage_files(path) if path.is_dir() else [path]
    for file in files:
        _check_closed(file)
    if path.is_dir() and (path / 'metadata.yaml').is_file():
        return [path]
    if not files:
        raise BagError(f'{path} is no bag: it has no metadata.yaml and 0 .mcap or .db3 files')
    return files


def _check_closed(file: Path) -> None:
    """Refuse sqlite3 files beside which messages lie that are not in them yet."""
    for ending in ('-wal', '-journal'):
        beside = file.with_name(file.name + ending)
        if beside.exists() and beside.stat().st_size:
            raise BagError(
                f'{file} was not closed, {beside.name} lies beside it: its recording was '
                'interrupted (try `surgseg bags recover`)'
            )


@contextmanager
def _errors(path: Path, what: str = '') -> Iterator[None]:
    """Turn any exception that a broken file causes in rosbags into one BagError sentence."""
    try:
        yield
    except (BagError, UnknownType):
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [''])[0]
        if not reason or isinstance(error, KeyError):  # which says no more than the key
            reason = f'{type(error).__name__} {reason}'.strip()
        if 'end magic' in reason or 'seems to be empty' in reason:
            reason = (
                'it ends too early, its recording was interrupted (try `surgseg bags recover`)'
            )
        reason = printable(reason)
        raise BagError(f'{path} cannot be read{what and " at " + what}: {reason}') from error
