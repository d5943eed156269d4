"""`make setup` as people run it: twice at once, killed, with other versions."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
# `bootstrap` of a folder of its own, doing what argv[2] says
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {underlay!r})
import bootstrap
shell = sys.argv[2]
bootstrap.ROOT = Path(sys.argv[1])
bootstrap.LOG = bootstrap.ROOT / 'log' / 'bootstrap.log'
bootstrap.check_tools = bootstrap.ensure_renderer = bootstrap.keep_other_ros_out = lambda: None
bootstrap.ensure_build = lambda: None
bootstrap.ensure_packages = lambda pins: bootstrap.run('Working', ['sh', '-c', shell], 1)
sys.argv = sys.argv[:1]
sys.exit(bootstrap.main())
"""


def start(folder: Path, shell: str, **environment: str) -> subprocess.Popen[str]:
    code = PROGRAM.format(underlay=str(ROOT / 'pip_underlay'))
    words = [sys.executable, '-c', code, str(folder), shell]
    return subprocess.Popen(
        words, text=True, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 120
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)
    return path.read_text()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 120
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_at_once_wait_for_each_other(tmp_path: Path) -> None:
    begun, go = tmp_path / 'begun', tmp_path / 'go'
    first = start(
        tmp_path, f'echo 1 > {begun}; while [ ! -e {go} ]; do sleep 0.05; done; echo 1 >> {go}'
    )
    wait_for(begun)
    second = start(tmp_path, f'echo 2 >> {go}')
    assert second.stdout and 'waiting for another `make`' in second.stdout.readline()
    assert not go.exists()
    go.touch()
    assert (first.wait(120), second.wait(120)) == (0, 0)
    assert go.read_text() == '1\n2\n'


@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGINT])
def test_what_it_has_started_ends_with_it(how: int, tmp_path: Path) -> None:
    pids = tmp_path / 'pids'
    process = start(tmp_path, f'sleep 300 & echo $! $$ > {pids}; wait')
    children = list(map(int, wait_for(pids).split()))
    process.send_signal(how)
    assert process.wait(120) == 128 + how
    for child in children:
        wait_until_gone(child)


def test_what_it_has_started_ends_even_when_it_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / 'pids'
    process = start(tmp_path, f'echo $$ > {pids}; exec sleep 300')
    child = int(wait_for(pids))
    process.kill()
    wait_until_gone(child)


def test_a_killed_make_ends_it(tmp_path: Path) -> None:
    pids = tmp_path / 'pids'
    (tmp_path / 'work').write_text(f'echo $$ > {pids}; exec sleep 300\n')
    recipe = f"{sys.executable} {tmp_path}/program {tmp_path} '. {tmp_path}/work'"
    (tmp_path / 'Makefile').write_text(f'setup:\n\t@{recipe}\n')
    (tmp_path / 'program').write_text(PROGRAM.format(underlay=str(ROOT / 'pip_underlay')))
    make = subprocess.Popen(['make', '-C', str(tmp_path), 'setup'], stdout=subprocess.DEVNULL)
    child = int(wait_for(pids))
    make.kill()
    make.wait()
    wait_until_gone(child)


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location('bootstrap', ROOT / 'pip_underlay/bootstrap.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, path in (('ROOT', tmp_path), ('VENV', tmp_path), ('LOG', tmp_path / 'log')):
        monkeypatch.setattr(module, name, path)
    for step in ('check_tools', 'ensure_renderer', 'keep_other_ros_out', 'ensure_build'):
        monkeypatch.setattr(module, step, lambda: None)
    monkeypatch.setattr(module, 'mend_wheels', lambda: None)
    monkeypatch.setattr(module.os, 'environ', dict(os.environ))
    monkeypatch.setattr(module.signal, 'signal', lambda *_: None)
    return module


def test_other_versions_stay_until_others_are_given(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(bootstrap, 'run', lambda title, words, expected: installed.append(words))

    def setup(*words: str) -> list[str]:
        """Which commands the setup runs, by their last word."""
        installed.clear()
        monkeypatch.setattr(sys, 'argv', ['bootstrap', *words])
        assert bootstrap.main() == 0
        return [command[-1] for command in installed]

    assert setup('--pins', 'numpy==1.26.4')[-1] == 'numpy==1.26.4'
    assert setup() == [], 'the same packages again are up to date'
    assert 'numpy==1.26.4' not in setup('--pins', '')
    assert setup() == []


def test_a_setup_that_was_killed_is_not_up_to_date(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'argv', ['bootstrap', '--pins', ''])
    monkeypatch.setattr(bootstrap, 'run', lambda *_, **__: None)
    assert bootstrap.main() == 0
    state = (bootstrap.VENV / '.surgseg-packages').read_text()

    def killed(title: str, words: list[str], expected: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, 'run', killed)
    monkeypatch.setattr(sys, 'argv', ['bootstrap', '--pins', 'numpy==1.26.4'])
    assert bootstrap.main() == 130
    assert not bootstrap.up_to_date('packages', state)


@pytest.mark.parametrize('pins', ['', 'numpy==1.26.4'])
def test_types_are_checked_with_our_versions_only(pins: str, tmp_path: Path) -> None:
    (tmp_path / 'Makefile').write_text((ROOT / 'Makefile').read_text())
    (tmp_path / '.venv/bin').mkdir(parents=True)
    (tmp_path / '.venv/.surgseg-pins').write_text(pins)
    for tool in ('ruff', 'mypy', 'python'):
        program = tmp_path / '.venv/bin' / tool
        program.write_text(f'#!/bin/sh\necho {tool} has run\n')
        program.chmod(0o755)
    words = ['make', '-C', str(tmp_path), 'lint', 'PYTHON=true']  # true: no setup
    done = subprocess.run(words, text=True, capture_output=True, check=True)
    assert 'ruff has run' in done.stdout and 'python has run' in done.stdout
    assert ('mypy has run' in done.stdout) == (not pins)
    assert (f'without mypy, since the types of {pins}' in done.stdout) == bool(pins)
