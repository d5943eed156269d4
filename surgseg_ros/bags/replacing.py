"""What `overwrite` may delete: a bag's own files and nothing beside them."""

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import yaml

from surgseg_ros.bags.reader import STORAGES, BagError
from surgseg_ros.frames.foreign import parse_yaml

METADATA = 'metadata.yaml'
_BESIDE_SQLITE = ('-journal', '-shm', '-wal')
_LISTED = 5  # of what is in the way


def check_replaceable(path: Path, overwrite: bool) -> None:
    """Raise BagError unless the existing `path` is a bag, complete or not, and may be replaced.

    A folder has to consist of metadata.yaml, the files that this names and sqlite's beside them;
    without metadata.yaml of one storage file that bears the folder's name. Links are not followed.
    """
    if not overwrite:
        raise BagError(f'{path} exists already')
    if path.is_symlink() or not (path.is_dir() or path.suffix in STORAGES):
        raise BagError(f'{path} exists and is no bag, so it is not overwritten')
    if path.is_dir():
        _check_folder(path)


def _check_folder(folder: Path) -> None:
    there, own = set(_files(folder)), set(_own_files(folder))
    strange = sorted(str(entry.relative_to(folder)) for entry in there - own)
    if not there & own:
        raise BagError(f'{folder} exists and is no bag, so it is not overwritten')
    if strange:
        more = f' and {len(strange) - _LISTED} more' if len(strange) > _LISTED else ''
        raise BagError(
            f'{folder} is not overwritten, since it holds more than a bag: '
            f'{", ".join(strange[:_LISTED])}{more}'
        )


def _files(folder: Path) -> Iterator[Path]:
    """All files and empty folders below; links are not followed."""
    for entry in folder.iterdir():
        inside = list(_files(entry)) if entry.is_dir() and not entry.is_symlink() else []
        yield from inside or [entry]


def _own_files(folder: Path) -> Iterator[Path]:
    """Files of the bag in this folder, or in the folder `bag` of an unfinished one."""
    if (folder / 'bag').is_dir():  # see BagWriter
        yield from _own_files(folder / 'bag')
    for name in _storage_names(folder):
        yield from (folder / f'{name}{end}' for end in ('', *_BESIDE_SQLITE))
    if (folder / METADATA).is_file():
        yield folder / METADATA


def _storage_names(folder: Path) -> list[str]:
    """Names of the storage files: those that metadata.yaml states, else the folder's own name."""
    if not (folder / METADATA).is_file():
        bases = (folder.name, f'{folder.name}_0', 'bag')  # as rosbag2 and BagWriter name them
        return [f'{base}{suffix}' for base in bases for suffix in STORAGES]
    try:
        content: Any = parse_yaml((folder / METADATA).read_text(), yaml.SafeLoader)
        stated = [
            PurePath(str(name))
            for name in content['rosbag2_bagfile_information']['relative_file_paths']
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    known = (*STORAGES, '.zstd')
    return [path.name for path in stated if path.parent == PurePath() and path.suffix in known]
