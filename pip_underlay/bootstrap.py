"""Make .venv a small ROS 2 Jazzy prefix and build this package into it.

Needs only the standard library, and does only what is out of date:
    python3 pip_underlay/bootstrap.py [--pins 'numpy==1.26.4 ...']
Versions given with --pins stay until others are given; '' goes back to ours. Only one process at
a time sets up, and what it has started ends with it.
"""

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNDERLAY = ROOT / 'pip_underlay'
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
BUILD = ROOT / 'build' / 'venv'
LOG = ROOT / 'log' / 'bootstrap.log'
LIBC = ctypes.CDLL(None)
STAND_INS = ('message_filters', 'sensor_msgs_py', 'tf2_msgs', 'vision_msgs')
OF_OTHERS = (
    'PYTHONPATH',
    'LD_LIBRARY_PATH',
    'AMENT_PREFIX_PATH',
    'CMAKE_PREFIX_PATH',
    'COLCON_PREFIX_PATH',
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE',
)
RENDERER = ('libegl1', 'libgl1-mesa-dri')


def main() -> int:
    """Run every step that its inputs say is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pins', help='packages to install over the pinned ones')
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if 'MAKELEVEL' in os.environ:  # `make` started us, and without it nobody waits for this
        end_with_parent()
    # A ROS may be sourced in this shell, or ROS wheels activated; start from a clean environment.
    for name in OF_OTHERS:
        os.environ.pop(name, None)
    try:
        with only_one():
            LOG.parent.mkdir(exist_ok=True)
            check_tools()
            ensure_renderer()
            ensure_packages(kept_pins() if arguments.pins is None else arguments.pins)
            keep_other_ros_out()
            ensure_build()
    except StepError as error:
        print(f'setup: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Wait until no other process sets up this checkout; the lock ends with the process."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('setup: waiting for another `make` that sets up this folder', flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


class StepError(Exception):
    """A step failed; the message is one sentence for the user."""


def check_tools() -> None:
    """Name what is missing and how to get it."""
    if not (3, 11) <= sys.version_info < (3, 13):
        raise StepError(f'Python 3.11 or 3.12 is needed, this is {sys.version.split()[0]}.')
    packages = {'g++': 'g++', 'cmake': 'cmake', 'make': 'make'}
    missing = [package for tool, package in packages.items() if not shutil.which(tool)]
    if missing:
        raise StepError(
            f'{" and ".join(missing)} missing; install with: apt-get install {" ".join(missing)}'
        )


def ensure_renderer() -> None:
    """Install the simulator's software renderer where that is allowed, else say how."""
    libraries = Path('/usr/lib')
    if any(libraries.glob('*/libEGL.so.1')) and any(libraries.glob('*/dri/swrast_dri.so')):
        return
    command = f'apt-get install -y {" ".join(RENDERER)}'
    if os.geteuid() == 0 and shutil.which('apt-get'):
        run('Installing the renderer', ['sh', '-c', f'apt-get update && {command}'], expected=60)
    else:
        print(f'setup: the virtual endoscope needs a renderer; install it with: sudo {command}')


def ensure_packages(pins: str) -> None:
    """Create .venv and install the pinned packages into it.

    Each file has to have one of the hashes in locked*.txt; only torch, of which any build will do,
    and what is given as `pins` come without.
    """
    names = ('locked.txt', 'locked-no-deps.txt', 'requirements-torch.txt', 'constraints.txt')
    files = [UNDERLAY / name for name in names]
    if up_to_date('packages', digest(files, pins)):
        return
    (VENV / '.surgseg-packages').unlink(missing_ok=True)  # no longer true until all is done
    run('Creating .venv', [sys.executable, '-m', 'venv', str(VENV)], expected=1)
    pip = [str(PYTHON), '-m', 'pip', '--disable-pip-version-check', 'install', '--no-input']
    locked, bare, torch, constraints = (str(path) for path in files)
    whole = [*pip, '--require-hashes', '--no-deps', '-r', locked, '-r', bare]
    run('Installing packages', whole, expected=460)
    run('Installing torch', [*pip, '-r', torch, '-c', constraints], expected=30)
    if pins:
        print('setup: no hashes are known of what PINS names, so none are compared')
        run('Installing other versions', [*pip, *pins.split()], expected=4)
    mend_wheels()
    mark('pins', pins)
    mark('packages', digest(files, pins))


def kept_pins() -> str:
    """Return the versions that were given last; packages are as they were until others are."""
    stamp = VENV / '.surgseg-pins'
    return stamp.read_text() if stamp.exists() else ''


def keep_other_ros_out() -> None:
    """Have every Python of .venv drop a ROS that is sourced in its shell, before all else."""
    folder = next(VENV.glob('lib/python3*/site-packages'))
    write(folder / 'surgseg_no_other_ros.py', (UNDERLAY / 'no_other_ros.py').read_text())
    # .pth files are read in the order of their names; that of the ROS wheels starts Python anew
    write(folder / 'a_surgseg_no_other_ros.pth', 'import surgseg_no_other_ros\n')


def mend_wheels() -> None:
    """Point the wheels' CMake exports at this Python: they name the one that built them."""
    query = 'import numpy, sysconfig\nprint(sysconfig.get_path("include"), numpy.get_include())'
    python, numpy = subprocess.check_output([PYTHON, '-c', query], text=True).split()
    for path in (VENV / 'share').glob('*/cmake/export_*__rosidl_generator_pyExport.cmake'):
        text = re.sub(r'/opt/python/[^;"]*/numpy/[^;"]*include', numpy, path.read_text())
        path.write_text(re.sub(r'/opt/python/[^;"]*/include/python[\d.]+', python, text))


def ensure_build() -> None:
    """Build the messages and this package into .venv with colcon."""
    inputs = [*(UNDERLAY / name for name in STAND_INS), *sources(ROOT)]
    state = digest([path for entry in inputs for path in sources(entry)], str(ROOT))
    if up_to_date('build', state):
        return
    os.environ['CMAKE_PREFIX_PATH'] = os.environ['AMENT_PREFIX_PATH'] = str(VENV)
    os.environ['PATH'] = f'{VENV / "bin"}{os.pathsep}{os.environ["PATH"]}'
    # Symlinks: an edited module works at once, a new one after the next `make`.
    run(
        'Building messages and package',
        [
            str(VENV / 'bin' / 'colcon'),
            '--log-base',
            str(ROOT / 'log'),
            'build',
            '--base-paths',
            str(UNDERLAY),
            str(ROOT),
            '--build-base',
            str(BUILD),
            '--install-base',
            str(VENV),
            '--merge-install',
            '--symlink-install',
            '--event-handlers',
            'console_direct+',
            '--cmake-args',
            '-DBUILD_TESTING=OFF',
            f'-DPython3_EXECUTABLE={PYTHON}',
            '-DCMAKE_BUILD_TYPE=Release',
        ],
        expected=900,
    )
    mark('build', state)


def sources(entry: Path) -> Iterator[Path]:
    """Files that the build copies, links or reads."""
    if entry == ROOT:
        for name in ('surgseg_ros', 'msg', 'launch', 'config', 'resource'):
            yield from sources(ROOT / name)
        yield from (ROOT / name for name in ('CMakeLists.txt', 'package.xml', 'setup.cfg'))
    elif entry.is_file():
        yield entry
    else:
        yield from (
            path for path in entry.rglob('*') if path.is_file() and '__pycache__' not in path.parts
        )


def digest(files: list[Path], *more: str) -> str:
    """Hash of names and of the contents that a build reads (modules are only linked)."""
    total = hashlib.sha256('\0'.join((*more, sys.version)).encode())
    for path in sorted(files):
        total.update(str(path).encode())
        if path.suffix != '.py' or path.parent == UNDERLAY:
            total.update(path.read_bytes())
    return total.hexdigest()


def up_to_date(step: str, state: str) -> bool:
    """Tell whether .venv holds the result of `step` for these inputs."""
    stamp = VENV / f'.surgseg-{step}'
    return stamp.exists() and stamp.read_text() == state


def mark(step: str, state: str) -> None:
    """Remember that `step` is done for these inputs."""
    write(VENV / f'.surgseg-{step}', state)


def write(path: Path, text: str) -> None:
    """Put a file in place as a whole, where it differs."""
    if not path.exists() or path.read_text() != text:
        partial = path.with_name(f'{path.name}.{os.getpid()}')
        partial.write_text(text)
        partial.replace(path)


def run(title: str, command: list[str], expected: int) -> None:
    """Run `command` into the log with a bar over its expected number of output lines."""
    show = Bar(title, expected)
    with (
        LOG.open('a') as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors='replace',
            start_new_session=True,
            preexec_fn=end_with_parent,
        ) as process,
        ended_with_all_its_children(process),
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            show.advance()
    show.close()
    if process.returncode:
        tail = ''.join(LOG.read_text().splitlines(keepends=True)[-15:])
        raise StepError(f'"{title}" failed; {LOG.relative_to(ROOT)} ends with:\n{tail}')


@contextlib.contextmanager
def ended_with_all_its_children(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process group when this process is interrupted meanwhile."""
    try:
        yield
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        raise


def end_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, even by SIGKILL."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGTERM)


class Bar:
    """A progress bar on a terminal; elsewhere a line at the start and one at the end."""

    def __init__(self, title: str, expected: int) -> None:
        self.title, self.expected, self.count = title, expected, 0
        self.start = time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.done = threading.Event()
        if self.terminal:
            self.thread = threading.Thread(target=self._refresh, daemon=True)
            self.thread.start()
        else:
            print(f'{title} ...', flush=True)

    def advance(self) -> None:
        """Count one line of output."""
        self.count += 1

    def close(self) -> None:
        """Print the time taken."""
        self.done.set()
        if self.terminal:
            self.thread.join()
        print(f'\r\033[K{self._text()} done' if self.terminal else f'{self._text()} done')

    def _refresh(self) -> None:
        while not self.done.wait(0.2):
            part = min(self.count / self.expected, 0.99)
            bar = ('#' * int(30 * part)).ljust(30, '.')
            print(f'\r{self._text()} [{bar}]', end='', flush=True)

    def _text(self) -> str:
        return f'{self.title:<32} {time.monotonic() - self.start:5.0f} s'


if __name__ == '__main__':
    sys.exit(main())
