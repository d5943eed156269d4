"""Make .venv a small ROS 2 Jazzy prefix and build this package into it.

Needs only the standard library, and does only what is out of date:
    python3 pip_underlay/bootstrap.py [--pins 'numpy==1.26.4 ...']
"""

import argparse
import hashlib
import os
import re
import shutil
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
RENDERER = ('libegl1', 'libgl1-mesa-dri')


def main() -> int:
    """Run every step that its inputs say is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pins', default='', help='packages to install over the pinned ones')
    arguments = parser.parse_args()
    LOG.parent.mkdir(exist_ok=True)
    # `make` may itself run in an activated environment of ROS wheels; start from a clean one.
    for name in ('LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'PYTHONPATH'):
        os.environ.pop(name, None)
    try:
        check_tools()
        ensure_renderer()
        ensure_packages(arguments.pins)
        ensure_build()
    except StepError as error:
        print(f'setup: {error}', file=sys.stderr)
        return 1
    return 0


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
    """Create .venv and install the pinned packages into it."""
    names = ('requirements.txt', 'constraints.txt', 'requirements-no-deps.txt')
    files = [UNDERLAY / name for name in names]
    if up_to_date('packages', digest(files, pins)):
        return
    run('Creating .venv', [sys.executable, '-m', 'venv', str(VENV)], expected=1)
    pip = [str(PYTHON), '-m', 'pip', '--disable-pip-version-check', 'install', '--no-input']
    wanted, constraints, bare = (str(path) for path in files)
    run('Installing packages', [*pip, '-r', wanted, '-c', constraints], expected=420)
    run('Installing build helpers', [*pip, '--no-deps', '-r', bare], expected=6)
    if pins:
        run('Installing other versions', [*pip, *pins.split()], expected=4)
    mend_wheels()
    mark('packages', digest(files, pins))


def mend_wheels() -> None:
    """Point the wheels' CMake exports at this Python: they name the one that built them."""
    query = 'import numpy, sysconfig\nprint(sysconfig.get_path("include"), numpy.get_include())'
    python, numpy = subprocess.check_output([PYTHON, '-c', query], text=True).split()
    for path in (VENV / 'share').glob('*/cmake/export_*__rosidl_generator_pyExport.cmake'):
        text = re.sub(r'/opt/python/[^;"]*/numpy/[^;"]*include', numpy, path.read_text())
        path.write_text(re.sub(r'/opt/python/[^;"]*/include/python[\d.]+', python, text))


def ensure_build() -> None:
    """Build the messages and this package into .venv with colcon."""
    inputs = [UNDERLAY / 'vision_msgs', UNDERLAY / 'message_filters', *sources(ROOT)]
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
    (VENV / f'.surgseg-{step}').write_text(state)


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
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            show.advance()
    show.close()
    if process.returncode:
        tail = ''.join(LOG.read_text().splitlines(keepends=True)[-15:])
        raise StepError(f'"{title}" failed; {LOG.relative_to(ROOT)} ends with:\n{tail}')


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
