"""Converts messages of ROS 1 bags to ROS 2 messages."""

from typing import cast

from rosbags.convert.converter import migrate_message
from rosbags.interfaces import Connection
from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from surgseg_ros.bags.types import UnknownType, find_type, types_of_definition
from surgseg_ros.rosdata.factory import Message

_HEADER = 'std_msgs/msg/Header'  # lost its sequence number


class Ros1Types:
    """Reads the messages of ROS 1 connections; fields are matched by name, then by type."""

    def __init__(self) -> None:
        self._sources: dict[str, Typestore] = {}
        self._targets: dict[str, Typestore] = {}
        self._cache: dict[str, object] = {}

    def read(self, connection: Connection, data: bytes) -> Message:
        """ROS 2 message object of serialised ROS 1 data. Raises UnknownType."""
        name = connection.msgtype
        target = self.target(connection)
        message = self._source(connection).deserialize_ros1(data, name)
        source = self._source(connection)
        migrated = migrate_message(source, target, name, name, self._cache, message)
        return cast(Message, migrated)

    def target(self, connection: Connection) -> Typestore:
        """Type store of the ROS 2 type: the known one of this name, else as the bag defines it."""
        name = connection.msgtype
        if name not in self._targets:
            try:
                self._targets[name] = find_type(name)
            except UnknownType:
                self._targets[name] = self._translated(connection)
        return self._targets[name]

    def _source(self, connection: Connection) -> Typestore:
        name = connection.msgtype
        if name not in self._sources:
            self._sources[name] = types_of_definition(name, connection.msgdef)
        return self._sources[name]

    def _translated(self, connection: Connection) -> Typestore:
        text, _ = self._source(connection).generate_msgdef(connection.msgtype, ros_version=2)
        found = get_types_from_msg(text, connection.msgtype)
        found.pop(_HEADER, None)
        store = find_type(_HEADER)
        store.register(found)
        return store
