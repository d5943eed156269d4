"""Read ROS 2 bags (mcap, sqlite3; folder or bare file) without a ROS installation."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, QosDurability
from rosbags.typesys.store import Typestore

from surgseg_ros.bags.types import find_type, full_name, known_types

STORAGES = {'.mcap': 'mcap', '.db3': 'sqlite3'}


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
    """A bag folder, or a bare .mcap or .db3 file; a context manager.

    topics: Topic by name. start, end: first and last recording time, ns (0 if empty).
    Raises BagError if there is no bag or it is broken. Types are read from the definitions in the
    bag; where it has none (sqlite3 before Iron, bags of other tools), from surgseg_ros.bags.types.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        storage = _storage_path(self.path)
        with _errors(self.path):
            self._reader = AnyReader([storage], default_typestore=known_types())
            self._reader.open()
        self.topics = {name: self._topic(name) for name in sorted(self._reader.topics)}
        empty = self._reader.message_count == 0
        self.start = 0 if empty else self._reader.start_time
        self.end = 0 if empty else self._reader.end_time - 1  # rosbags gives the ns after

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Messages of these topics (default: of all) in recording order, as objects."""
        for topic, type_name, time, data in self.raw_messages(topics):
            with _errors(self.path, f'{topic} at {time} ns'):
                message = self.types_of(type_name).deserialize_cdr(data, type_name)
            yield BagMessage(topic, type_name, time, message)

    def raw_messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Like messages, but as the CDR bytes they are stored as."""
        chosen = self._connections(topics)
        messages = self._reader.messages(chosen) if chosen else iter(())
        while True:
            with _errors(self.path):
                item = next(messages, None)
            if item is None:
                return
            connection, time, data = item
            yield BagMessage(connection.topic, full_name(connection.msgtype), time, data)

    def types_of(self, type_name: str) -> Typestore:
        """Type store that can read this type of this bag; raises UnknownType if there is none."""
        own = self._reader.typestore
        return own if type_name in own.fielddefs else find_type(type_name)

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    def __enter__(self) -> 'BagReader':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _topic(self, name: str) -> Topic:
        connections = self._connections([name])
        latched = any(
            profile.durability == QosDurability.TRANSIENT_LOCAL
            for connection in connections
            for profile in getattr(connection.ext, 'offered_qos_profiles', ())
        )
        count = sum(connection.msgcount for connection in connections)
        return Topic(full_name(connections[0].msgtype), count, latched)

    def _connections(self, topics: Collection[str] | None) -> list[Connection]:
        every = self._reader.connections
        return [one for one in every if topics is None or one.topic in topics]


def is_bag(path: str | Path) -> bool:
    """Whether this looks like a bag: a file named so, or a folder with such files."""
    path = Path(path)
    if path.is_dir():
        return (path / 'metadata.yaml').is_file() or any(_storage_files(path))
    return path.suffix in STORAGES


def _storage_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix in STORAGES)


def unfinished_path(path: Path) -> Path:
    """Where BagWriter keeps the bag `path` until it is closed."""
    return path.with_name(path.name + '.partial')


def _storage_path(path: Path) -> Path:
    """What to open for `path`: itself, or the one file of a folder without metadata.yaml."""
    if not path.exists():
        partial = unfinished_path(path)
        lost = f': its recording was interrupted, {partial} is there (try `surgseg bags recover`)'
        raise BagError(f'there is no bag at {path}{lost if partial.exists() else ""}')
    if not path.is_dir() and path.suffix not in STORAGES:
        raise BagError(f'{path} is no bag: expected a folder, or a .mcap or .db3 file')
    if not path.is_dir():
        files = [path]
    elif (path / 'metadata.yaml').is_file():
        return path
    else:
        files = list(_storage_files(path))
        if len(files) != 1:
            raise BagError(
                f'{path} is no bag: it has no metadata.yaml and {len(files)} .mcap or .db3 files'
            )
    if files[0].with_name(files[0].name + '-journal').exists():
        raise BagError(f'{files[0]} was not closed: its recording was interrupted')
    return files[0]


@contextmanager
def _errors(path: Path, what: str = '') -> Iterator[None]:
    """Turn whatever a broken file makes rosbags raise into one BagError sentence."""
    try:
        yield
    except BagError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [''])[0]
        if not reason or isinstance(error, KeyError):  # which says no more than the key
            reason = f'{type(error).__name__} {reason}'.strip()
        if 'end magic' in reason:
            reason = (
                'it ends too early, its recording was interrupted (try `surgseg bags recover`)'
            )
        raise BagError(f'{path} cannot be read{what and " at " + what}: {reason}') from error
