"""Moving large images between processes: the allocator, and the Fast DDS profile."""

import ctypes
import os

from rclpy.node import Node

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
PROFILE_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'  # Fast DDS 2.14 reads no other


def tune_allocator() -> None:
    """Keep freed image buffers instead of giving the pages back after every frame.

    glibc otherwise maps and unmaps each 4 MB message: thousands of page faults per frame.
    """
    if libc := _glibc():
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 25)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def release_memory() -> None:
    """Give freed memory back once: loading a model leaves more behind than frames will need."""
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL('libc.so.6')
    except OSError:  # another libc: nothing to tune
        return None


def advise(node: Node) -> None:
    """Say once how to make large messages fast if no Fast DDS profile is set."""
    middleware = os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    if middleware == 'rmw_fastrtps_cpp' and PROFILE_VARIABLE not in os.environ:
        node.get_logger().warning(
            f'{PROFILE_VARIABLE} is not set, so large images cross processes ten times slower '
            'or are lost: set it, also for the camera driver, to '
            'share/surgseg_ros/config/fastdds.xml (launch files and `surgseg up` do)'
        )
