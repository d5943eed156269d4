"""`surgseg doctor`: what this installation has, what it lacks, and how to mend it."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from surgseg_ros.frames.foreign import printable, say
from surgseg_ros.media import children
from surgseg_ros.processes import shared_memory

TESTED_PYTHON = ((3, 11), (3, 12))
PROFILE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
LARGE_CACHE = 10**9  # bytes
LEAST_SHARED_MEMORY_MB = 256  # config/fastdds.xml takes 64 MB per process
PATIENCE = 60.0  # s for a check in a process of its own
SLOW_MS = 15.0  # for 3.9 MB; with the profile 2 ms are usual, without it 25 ms

LIBRARIES = {  # import name: how to get it where rosdep or pip did not bring it
    'numpy': 'pip install numpy',
    'cv2': 'pip install opencv-python-headless',
    'scipy': 'pip install scipy',
    'yaml': 'pip install pyyaml',
    'numba': 'pip install numba',
    'tqdm': 'pip install tqdm',
    'rosbags': 'pip install rosbags',
}
DISTRIBUTIONS = {'cv2': ('opencv-python-headless', 'opencv-python', 'opencv'), 'yaml': ('pyyaml',)}
MESSAGES = ('sensor_msgs', 'stereo_msgs', 'vision_msgs', 'diagnostic_msgs', 'rosgraph_msgs')
OPTIONAL = {
    'launch_ros': 'only `ros2 launch` needs it; `surgseg up` does without',
    'sensor_msgs_py': 'reads and makes clouds in nodes of your own',
    'torch': 'only networks need it; sgbm does without',
    'openvino': 'runs networks fast on a CPU',
    'onnxruntime': 'runs networks where OpenVINO cannot',
}


@dataclass(frozen=True)
class Check:
    """One line of the report.

    state: ok; warning (works, but worse); missing (does not work); absent (nobody needs to care).
    """

    state: str
    name: str
    found: str
    mend: str = ''

    def __str__(self) -> str:
        line = printable(f'{self.state:<8} {self.name}: {self.found}')
        return f'{line}\n{"":<8} -> {printable(self.mend)}' if self.mend else line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        '--quick',
        action='store_true',
        help='start no processes: no rendering, no image through DDS',
    )
    parser.add_argument(
        '--clear-cache',
        action='store_true',
        help='check nothing; delete the '
        'exported and compiled networks, which are rebuilt when needed',
    )


def run(args: argparse.Namespace) -> int:
    """Print a line per check; 1 if something that is needed is missing."""
    if args.clear_cache:
        return _clear_cache()
    missing = 0
    for check in checks(quick=args.quick):
        say(*str(check).split('\n'))
        missing += check.state == 'missing'
    say('', f'{missing} missing' if missing else 'Ready.')
    return int(missing > 0)


def checks(quick: bool = False) -> Iterator[Check]:
    """Look at everything; a check that itself fails is a warning."""
    steps: list[Callable[[], Iterator[Check]]] = [
        check_python,
        check_libraries,
        check_ros,
        check_middleware,
        check_shared_memory,
        check_processor,
        check_cache,
        check_optional,
    ]
    for step in steps if quick else [*steps, check_renderer, check_exchange]:
        try:
            yield from step()
        except Exception as error:  # the report goes on, whatever is broken
            yield Check(
                'warning', step.__name__.removeprefix('check_'), f'could not be checked: {error!r}'
            )


def check_python() -> Iterator[Check]:
    """Whether this Python is one that surgseg_ros is tested with."""
    found = f'{sys.version.split()[0]} ({sys.executable})'
    if sys.version_info[:2] in TESTED_PYTHON:
        yield Check('ok', 'Python', found)
    else:
        yield Check('warning', 'Python', found, 'surgseg_ros is tested with Python 3.11 and 3.12')


def check_libraries() -> Iterator[Check]:
    """What surgseg_ros imports besides ROS."""
    for name, command in LIBRARIES.items():
        yield _imported(name, command)


def check_ros() -> Iterator[Check]:
    """Client library, messages of others, our messages."""
    install = (
        'on ROS 2 Jazzy: source /opt/ros/jazzy/setup.bash and run rosdep install; '
        'elsewhere: make setup'
    )
    yield _imported('rclpy', install)
    for package in MESSAGES:
        yield _imported(f'{package}.msg', install)
    yield _imported('message_filters', install)
    yield _imported(
        'surgseg_ros.msg',
        'build this package with colcon build and source '
        'install/setup.bash; without ROS: make setup',
    )
    distribution = os.environ.get('ROS_DISTRO')
    if distribution not in (None, 'jazzy'):
        yield Check('warning', 'ROS_DISTRO', f'{distribution}', 'surgseg_ros is tested on jazzy')


def check_middleware() -> Iterator[Check]:
    """Which RMW, who is reached, and the profile that makes large images fast."""
    chosen = os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    reach = {
        name: os.environ[name]
        for name in ('ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY')
        if name in os.environ
    }
    yield Check('ok', 'RMW', ' '.join([chosen, *(f'{k}={v}' for k, v in reach.items())]))
    if chosen == 'rmw_fastrtps_cpp':
        yield _profile(os.environ.get(PROFILE))


def _profile(path: str | None) -> Check:
    from surgseg_ros.media.share import share

    ours = share() / 'config' / 'fastdds.xml'
    if path is None:
        return Check(
            'warning',
            PROFILE,
            'not set; `ros2 launch` and `surgseg up` set it, nodes '
            'started by hand move large images ten times slower or lose them',
            f'export {PROFILE}={ours}',
        )
    if not Path(path).is_file():
        return Check('warning', PROFILE, f'{path} is not there', f'export {PROFILE}={ours}')
    return Check('ok', PROFILE, path)


def check_shared_memory() -> Iterator[Check]:
    """Room for whole images in /dev/shm, through which Fast DDS moves them."""
    folder, name = shared_memory.FOLDER, 'shared memory'
    if not folder.is_dir():
        mend = 'mount a tmpfs there, or images travel through the network stack'
        yield Check('warning', name, f'there is no {folder}', mend)
        return
    usage = shutil.disk_usage(folder)
    total, free = usage.total // 2**20, usage.free // 2**20
    found = f'{free} of {total} MB free in {folder}'
    dead = len(list(shared_memory.dead_segments()))
    if dead:
        found += f', {dead} segments of killed processes'
    if free < LEAST_SHARED_MEMORY_MB:
        mend = (
            f'each node wants 64 MB: remove stale {folder}/fastrtps_* files (fastdds shm clean); '
            'in a container: docker run --shm-size=2g'
        )
        yield Check('warning', name, found, mend)
    else:
        mend = 'fastdds shm clean removes them, and so does the next `surgseg up` at its end'
        yield Check('ok', name, found, mend if dead else '')


def check_processor() -> Iterator[Check]:
    """Cores, and the instructions that networks profit from."""
    cores = len(os.sched_getaffinity(0))
    flags = Path('/proc/cpuinfo').read_text().split()
    useful = [name for name in ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16') if name in flags]
    yield Check('ok', 'processor', ' '.join([f'{cores} cores', *useful]))


def check_cache() -> Iterator[Check]:
    """Disk that exported networks take: one for every network, weights and image size."""
    from surgseg_ros.backends import exports  # needs numpy, which may be missing

    name, folder, size = 'cache of networks', exports.cache_folder(), exports.cache_bytes()
    if flaw := exports.cache_flaw():
        mend = 'export SURGSEG_CACHE=FOLDER of your own, or networks are exported at every start'
        yield Check('warning', name, f'nothing can be kept in {folder}: {flaw}', mend)
        return
    large = 'surgseg doctor --clear-cache empties it' if size > LARGE_CACHE else ''
    yield Check('ok', name, f'{size / 1e6:.0f} MB in {folder}', large)


def _clear_cache() -> int:
    from surgseg_ros.backends import exports

    size = exports.cache_bytes()
    exports.clear_cache()
    say(f'{size / 1e6:.0f} MB of exported networks deleted from {exports.cache_folder()}')
    return 0


def check_optional() -> Iterator[Check]:
    """What some people need; looked up, not imported, since some take seconds."""
    for name, purpose in OPTIONAL.items():
        version = _version(name)
        found = ' '.join([version or purpose, *_stand_in(name)])
        yield Check('ok' if version else 'absent', name, found)


def check_renderer() -> Iterator[Check]:
    """Whether the virtual endoscope can make an OpenGL context, in a process of its own."""
    code = 'from surgseg_ros.simulation.gl import make_context; make_context(64, 64).free()'
    done = children.run(children.python('-c', code), timeout=PATIENCE)
    if done.returncode == 0:
        version = _version('mujoco') or ''
        yield Check('ok', 'renderer', f'MuJoCo {version} has OpenGL')
        return
    reason = children.last_line(done)
    mend = (
        'pip install mujoco'
        if 'ModuleNotFoundError' in reason
        else 'apt install libegl1 libgl1-mesa-dri'
    )
    yield Check('warning', 'renderer', f'no virtual endoscope: {reason}', mend)


def check_exchange() -> Iterator[Check]:
    """Two processes and an image of 3.9 MB, with the settings of `surgseg up`."""
    from surgseg_ros.processes.pipelines import Pipeline

    words = children.python('-m', 'surgseg_ros.live.exchange')
    done = children.run(words, changes=Pipeline.environment(), timeout=PATIENCE)
    if done.returncode:
        reason = children.last_line(done)
        yield Check('missing', 'image through DDS', reason, 'mend what is missing above first')
        return
    yield _judged(**json.loads(done.stdout.splitlines()[-1]))


def _judged(
    sent: int, received: int, median_ms: float | None, p99_ms: float | None = None
) -> Check:
    name, count = 'image through DDS', f'{received} of {sent} arrived'
    if not received or median_ms is None:
        return Check(
            'missing',
            name,
            count,
            'two processes do not find each other: look at '
            'ROS_DOMAIN_ID, ROS_AUTOMATIC_DISCOVERY_RANGE, RMW_IMPLEMENTATION, firewall',
        )
    found = f'{count}, 3.9 MB each, median {median_ms:.1f} ms, p99 {p99_ms:.1f} ms'
    if received < sent or median_ms > SLOW_MS:
        return Check(
            'warning',
            name,
            found,
            f'look at shared memory and {PROFILE} above; a busy machine is slow, too',
        )
    return Check('ok', name, found)


def _imported(name: str, mend: str) -> Check:
    """Import a required module; whatever goes wrong there is told, not raised."""
    try:
        import_module(name)
    except Exception as error:  # also a library built for another Python or numpy
        reason = ' '.join(str(error).split()) or type(error).__name__
        return Check('missing', name, reason, mend)
    return Check('ok', name, ' '.join([_version(name) or 'found', *_stand_in(name)]))


def _stand_in(name: str) -> list[str]:
    """Say so of a package that pip_underlay has in the place of upstream's; else nothing."""
    from surgseg_ros.media.share import share

    manifest = share().parent / name.partition('.')[0] / 'package.xml'
    ours = manifest.is_file() and 'Stand-in for ' in manifest.read_text()
    return ["(surgseg_ros's stand-in, not the package of ROS itself)"] if ours else []


def _version(name: str) -> str:
    """Version of a package, '' if it is not installed or does not say."""
    package = name.partition('.')[0]
    for distribution in (*DISTRIBUTIONS.get(package, ()), package, f'ros-{package}'):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return ''
