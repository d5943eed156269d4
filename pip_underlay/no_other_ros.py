"""Keeps a ROS that is sourced in the shell out of the Python of .venv; run before all else there.

A sourced ROS brings an rclpy, messages and libraries for another Python, and they would be found
first. What lies in its prefixes is dropped from the search paths; ROS_DOMAIN_ID and the like stay.
"""

import os
import sys

SEARCHED = ('PYTHONPATH', 'LD_LIBRARY_PATH')
PREFIXES = ('AMENT_PREFIX_PATH', 'COLCON_PREFIX_PATH', 'CMAKE_PREFIX_PATH')
OF_ROS = ('rclpy', 'librcl.so', 'sensor_msgs')  # in a folder that no prefix names


def main() -> None:
    """Clean this process's environment, which its children inherit."""
    foreign = [folder for name in PREFIXES for folder in entries(name) if is_foreign(folder)]
    for name in PREFIXES:
        keep(name, [folder for folder in entries(name) if folder not in foreign])
    for name in SEARCHED:
        kept = [folder for folder in entries(name) if not belongs(folder, foreign)]
        keep(name, kept)
    middleware = os.environ.get('RMW_IMPLEMENTATION')
    if middleware not in (None, 'rmw_fastrtps_cpp'):
        print(
            f'RMW_IMPLEMENTATION={middleware} is not in {sys.prefix}: rmw_fastrtps_cpp is used',
            file=sys.stderr,
        )
        del os.environ['RMW_IMPLEMENTATION']


def entries(name: str) -> list[str]:
    """Folders that a variable names."""
    return [entry for entry in os.environ.get(name, '').split(os.pathsep) if entry]


def keep(name: str, folders: list[str]) -> None:
    """Set a variable to these folders; one without any is removed."""
    if folders:
        os.environ[name] = os.pathsep.join(folders)
    else:
        os.environ.pop(name, None)


def is_foreign(prefix: str) -> bool:
    """Whether a prefix is not ours and has libraries; one of message definitions may stay."""
    return not is_inside(prefix, sys.prefix) and os.path.isdir(os.path.join(prefix, 'lib'))


def belongs(folder: str, prefixes: list[str]) -> bool:
    """Whether a folder of a search path belongs to one of these prefixes, or to a ROS."""
    if is_inside(folder, sys.prefix):
        return False
    inside = any(is_inside(folder, prefix) for prefix in prefixes)
    return inside or any(os.path.exists(os.path.join(folder, name)) for name in OF_ROS)


def is_inside(folder: str, prefix: str) -> bool:
    """Whether a folder is the prefix or below it."""
    folder, prefix = os.path.realpath(folder), os.path.realpath(prefix)
    return folder == prefix or folder.startswith(prefix + os.sep)


# Once per tree of processes: the ROS wheels set this when they have set their own paths.
if not os.environ.get('_ROS_WHEELS_BOOTSTRAP_COMPLETE'):
    main()
