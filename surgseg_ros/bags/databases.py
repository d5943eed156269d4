"""Bags of sqlite3 hold tables and nothing that computes: a view may have no end, and a column
that is generated may be a gigabyte that no byte of the file stands for.
"""

import apsw
from rosbags.rosbag2 import reader as rosbag2
from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

_KINDS = ('table', 'index')


def limit_databases() -> None:
    """Have rosbags look at what a database consists of before it reads anything."""
    for reader, name in ((rosbag2.Reader, '.db3'), (rosbag2.DirectoryReader, 'sqlite3')):
        reader.STORAGE_PLUGINS = {**reader.STORAGE_PLUGINS, name: _CheckedReader}


class _CheckedReader(Sqlite3Reader):
    def _open(self) -> None:
        assert self.dbconn
        for kind, name, text in self.dbconn.execute('SELECT type, name, sql FROM sqlite_master'):
            if kind not in _KINDS or _is_virtual(text):
                raise ReaderError(f'it has a {kind} {name} that computes what a bag would store')
            if kind == 'table' and _is_generated(self.dbconn, str(name)):
                raise ReaderError(f'its table {name} has columns that are computed, not stored')
        super()._open()


def _is_virtual(text: object) -> bool:
    """Whether a table's text is CREATE VIRTUAL TABLE ..., which sqlite3 stores in capitals."""
    return str(text or '').upper().startswith('CREATE VIRTUAL')


def _is_generated(database: apsw.Connection, table: str) -> bool:
    quoted = table.replace('"', '""')
    columns = database.execute(f'PRAGMA table_xinfo("{quoted}")')
    return any(hidden for *_, hidden in columns)
