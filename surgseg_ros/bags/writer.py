"""Write ROS 2 bags that rosbag2 reads, without a ROS installation."""

import shutil
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar

import apsw
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from rosbags.typesys.store import Typestore

from surgseg_ros.bags import chunks
from surgseg_ros.bags.reader import STORAGES, BagError, unfinished_path
from surgseg_ros.bags.replacing import check_replaceable
from surgseg_ros.bags.types import find_type
from surgseg_ros.frames.foreign import warn

T = TypeVar('T')

_JAZZY: Literal[9] = 9  # version of metadata.yaml
_CHUNK_SPAN = 1_000_000_000  # ns
_TRANSACTION = 1 << 22  # bytes of messages that sqlite3 takes at once
_FOREVER = QosTime(9223372036, 854775807)


class BagWriter:
    """A new bag; a context manager that gives it its name, unless an error happens inside.

    path: a folder, or a file name ending in .mcap or .db3 for a bare storage file.
    storage: 'mcap' (default) or 'sqlite3'; a file name says it itself.
    The bag lies in `<path>.partial` until it is closed: `path` is a whole bag or not there, and
    with `overwrite` the old one until then. Stopping (Ctrl-C) and errors leave it there, closed,
    and say so. Chunks of mcap are compressed (zstd) unless `compress` is False.
    Only what is written ends up inside, no clock: equal messages make equal files.
    Raises BagError if `path` exists (without `overwrite`), UnknownType for a type without a
    definition.
    """

    def __init__(
        self,
        path: str | Path,
        storage: str | None = None,
        overwrite: bool = False,
        compress: bool = True,
    ) -> None:
        self.path = Path(path)
        self.count = 0
        self._partial = unfinished_path(self.path)
        self._connections: dict[str, Connection] = {}
        plugin = _plugin(self.path, storage)
        for there in filter(Path.exists, (self.path, self._partial)):
            check_replaceable(there, overwrite)
        _remove(self._partial)
        self._writer = Writer(self._partial / 'bag', version=_JAZZY, storage_plugin=plugin)
        # A thread of its own, so that Ctrl-C cannot fall into the middle of a record.
        self._worker = ThreadPoolExecutor(1, 'bag')
        self._do(self._begin, compress)
        self._open = True

    @property
    def topics(self) -> Collection[str]:
        """Names of the topics added so far."""
        return self._connections.keys()

    def add_topic(
        self, topic: str, type_name: str, latched: bool = False, types: Typestore | None = None
    ) -> None:
        """Announce a topic; once per topic, and optional unless it is latched or stays empty.

        latched: offered as transient_local. types: where the type is defined, if not publicly.
        """
        if topic in self._connections:
            raise BagError(f'topic {topic} was added to {self.path} before')
        self._connections[topic] = self._do(
            self._writer.add_connection,
            topic,
            type_name,
            typestore=types or find_type(type_name),
            offered_qos_profiles=[_qos(latched)],
        )

    def write(self, topic: str, type_name: str, message: object, time: int) -> None:
        """Append a message object (from bags.make_message or a BagReader) recorded at time, ns."""
        data = find_type(type_name).serialize_cdr(message, type_name)
        self.write_raw(topic, type_name, data, time)

    def write_raw(self, topic: str, type_name: str, data: bytes | memoryview, time: int) -> None:
        """Append a message as its CDR bytes, recorded at time, ns.

        Raises BagError if the topic has another type or the writer is closed.
        """
        if not self._open:
            raise BagError(f'{self.path} is closed already')
        if topic not in self._connections:
            self.add_topic(topic, type_name)
        connection = self._connections[topic]
        if connection.msgtype != type_name:
            raise BagError(f'{topic} in {self.path} is {connection.msgtype}, not {type_name}')
        self._do(self._write, connection, int(time), data)
        self.count += 1

    def close(self) -> None:
        """Finish the files and move them to their place; a second call does nothing."""
        self._close(self._publish)

    def abandon(self) -> None:
        """Close the files where they are, and keep what there was at `path`."""
        self._close(lambda: None if self.count else _remove(self._partial))

    def __enter__(self) -> 'BagWriter':
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
            return
        with suppress(OSError):  # the disk is full: as much as is there stays
            self.abandon()
        if self.count:
            warn(f'{self.path} was not finished: what was written is in {self.remains}')

    @property
    def remains(self) -> Path:
        """Where the bag lies that was not finished."""
        return self._partial / 'bag'

    def _close(self, then: Callable[[], None]) -> None:
        if self._open:
            self._open = False
            try:
                self._do(self._writer.close)
                self._do(then)
            finally:
                self._worker.shutdown()

    def _do(self, function: Callable[..., T], *args: object, **options: object) -> T:
        try:
            return self._worker.submit(function, *args, **options).result()
        except (OSError, apsw.Error, sqlite3.Error) as error:  # a full disk
            reason = getattr(error, 'strerror', None) or error
            raise OSError(f'{self.path} cannot be written: {reason}') from error

    # In the worker's thread.

    def _begin(self, compress: bool) -> None:
        if compress and self._writer.storage_plugin == StoragePlugin.MCAP:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        storage = self._writer.storage
        if isinstance(storage, McapWriter):
            storage.bio.flush()
            if compress:
                storage.compressor = chunks.compress
        self._pieces = _Pieces(storage)

    def _write(self, connection: Connection, time: int, data: bytes | memoryview) -> None:
        self._writer.write(connection, time, data)
        self._pieces.written(time, len(data))

    def _publish(self) -> None:
        finished = self._partial / 'bag'
        if self.path.suffix in STORAGES:
            finished = finished / f'bag{self.path.suffix}'
        if self.path.exists():
            check_replaceable(self.path, overwrite=True)  # it may have changed meanwhile
            _remove(self.path)
        finished.rename(self.path)
        _remove(self._partial)


class _Pieces:
    """Writes in pieces, so that a killed process loses only the last piece.

    A piece is a chunk of mcap, a transaction of sqlite3. It ends after a second of messages, also
    where these are few.
    """

    def __init__(self, storage: object) -> None:
        self._mcap = storage if isinstance(storage, McapWriter) else None
        self._sqlite3 = storage if isinstance(storage, Sqlite3Writer) else None
        self._size, self._begin = 0, 0

    def written(self, time: int, size: int) -> None:
        """Take note of a message of so many bytes, recorded at time, ns."""
        if self._mcap:
            if time - self._mcap.chunk.message_start_time > _CHUNK_SPAN:
                self._mcap.close_chunk()
            if not self._mcap.chunk.msgs:
                self._mcap.bio.flush()
        if self._sqlite3:
            self._size += size
            if self._size > _TRANSACTION or time - self._begin > _CHUNK_SPAN:
                self._sqlite3.conn.commit()
                self._size, self._begin = 0, time


def _plugin(path: Path, storage: str | None) -> StoragePlugin:
    named = STORAGES.get(path.suffix)
    if named and storage and named != storage:
        raise BagError(f'{path} names a bag in {named}, but the storage asked for is {storage}')
    storage = storage or named or 'mcap'
    if storage not in STORAGES.values():
        raise BagError(f'no storage is called {storage!r}; known: {", ".join(STORAGES.values())}')
    return StoragePlugin[storage.upper()]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _qos(latched: bool) -> Qos:
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )
