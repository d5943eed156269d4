"""Child processes run no code from the folder that holds the user's data."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import surgseg_ros
from surgseg_ros.media import children

PACKAGE = Path(surgseg_ros.__file__).resolve().parent
SHADOWED = ('numpy', 'json', 'rclpy', 'torch', 'cv2', 'yaml', 'surgseg_ros', 'onnx', 'mujoco')
PIPE = subprocess.PIPE


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the current folder one whose modules leave a mark when they are imported."""
    for name in SHADOWED:
        line = f'open({str(tmp_path / "ran")!r}, "a").write("{name}\\n")\n'
        (tmp_path / f'{name}.py').write_text(line)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_in(folder: Path, *words: str) -> str:
    """Run a command as its installed script does, and return what it printed."""
    code = f'import sys; sys.argv = {["surgseg", *words]!r}\n'
    code += 'from surgseg_ros.cli import main; raise SystemExit(main())'
    done = children.run([sys.executable, '-P', '-c', code], timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / 'ran').exists(), (folder / 'ran').read_text()
    return done.stdout


@pytest.mark.parametrize('given', ['', '.', 'relative', os.pathsep])
def test_no_relative_entry_reaches_the_import_path_of_a_child(
    given: str, trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PYTHONPATH', given)
    monkeypatch.delenv('PYTHONSAFEPATH', raising=False)
    code = 'import json, numpy, sys; print(sys.flags.safe_path, "" in sys.path)'
    assert children.run(children.python('-c', code)).stdout == 'True False\n'
    code = f'import subprocess; subprocess.run([{sys.executable!r}, "-c", "import json"])'
    children.run(children.python('-c', code))  # a child's child, too
    assert not (trap / 'ran').exists()


def test_doctor_runs_no_code_from_the_current_folder(trap: Path) -> None:
    assert 'Ready.' in run_in(trap, 'doctor')


def test_an_export_runs_no_code_from_the_current_folder(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('torch', reason='networks need torch')
    from surgseg_ros.backends import exports
    from surgseg_ros.backends.model import Model
    from surgseg_ros.networks.bundled import bundled_weights

    monkeypatch.setenv('SURGSEG_CACHE', str(trap / 'cache'))
    weights = bundled_weights('lwanet')
    assert weights
    model = Model('lwanet', weights, {'x': (1, 3, 64, 64)}, {'num_classes': 2})
    with pytest.raises(ValueError, match='does not fit'):  # said by the child
        exports.onnx_file(model)
    assert not (trap / 'ran').exists(), (trap / 'ran').read_text()


def test_a_demo_runs_no_code_from_the_current_folder(trap: Path) -> None:
    run_in(trap, 'demo', '--frames', '2', 'source:=sim:width=320,height=256')
    assert (trap / 'out' / 'demo' / 'summary.json').is_file()


def test_the_environment_is_changed_and_variables_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SURGSEG_A', 'old')
    monkeypatch.setenv('SURGSEG_B', 'old')
    made = children.environment({'SURGSEG_A': 'new', 'SURGSEG_B': None})
    assert made['SURGSEG_A'] == 'new' and 'SURGSEG_B' not in made


def test_what_hangs_is_killed_and_says_so() -> None:
    done = children.run(
        children.python('-c', 'input() if 0 else __import__("time").sleep(99)'), timeout=1
    )
    assert (done.returncode, done.stderr) == (124, 'no answer within 1 s')


def test_children_end_with_their_parent() -> None:
    code = (
        'from surgseg_ros.media import children; import time\n'
        'child = children.start(children.python("-c", "import time; time.sleep(99)"))\n'
        'print(child.pid, flush=True); time.sleep(99)'
    )
    with children.start(children.python('-c', code), stdout=PIPE) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_other_module_starts_processes() -> None:
    ways = {'subprocess': {'Popen', 'run', 'call', 'check_call', 'check_output', 'getoutput'}}
    ways['os'] = {'system', 'popen', 'fork', 'execv', 'execve', 'posix_spawn', 'spawnv'}
    found = [
        f'{path.relative_to(PACKAGE)}:{node.lineno}'
        for path in PACKAGE.rglob('*.py')
        if path.name != 'children.py'
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.attr in ways.get(node.func.value.id, ())
    ]
    assert not found
