"""Moving large images between processes: the allocator, and the Fast DDS profile."""

import ctypes
import os

from surgseg_ros.processes.pipelines import Pipeline

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
    """Return freed memory once, because loading a model frees more than frames will need."""
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL('libc.so.6')
    except OSError:  # another libc: nothing to tune
        return None


def use_profile() -> str:
    """Set our Fast DDS profile before ROS starts, unless one is set; say what other RMWs need."""
    middleware = os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    if middleware != 'rmw_fastrtps_cpp' or PROFILE_VARIABLE in os.environ:
        return ''
    profile = Pipeline.environment()[PROFILE_VARIABLE]
    os.environ[PROFILE_VARIABLE] = profile
    return (
        f'{PROFILE_VARIABLE} is not set. This node uses {profile}: set it for the camera driver, '
        'too, or its images arrive ten times slower or are lost'
    )
