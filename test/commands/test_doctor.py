"""`surgseg doctor` on this installation, and on broken ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from surgseg_ros.cli import main
from surgseg_ros.commands import doctor
from surgseg_ros.processes import shared_memory

REPOSITORY = Path(__file__).resolve().parents[2]


def test_this_installation_is_ready_and_an_image_crosses_processes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['doctor']) == 0
    report = capsys.readouterr().out
    assert 'missing' not in report
    assert '20 of 20 arrived' in report
    assert 'Ready.' in report
    if shutil.which('colcon', path=str(Path(sys.prefix) / 'bin')):  # the .venv of `make setup`
        said = {line.split()[1]: line for line in report.splitlines() if 'stand-in' in line}
        assert set(said) == {'message_filters:', 'vision_msgs.msg:', 'sensor_msgs_py:'}


def report_of(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, '-m', 'surgseg_ros.cli', 'doctor'],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        text=True,
        capture_output=True,
    )


def test_without_any_package_the_report_is_whole() -> None:
    """-S leaves site-packages out: neither ROS nor numpy nor yaml can be imported."""
    done = report_of('-S')
    assert done.returncode == 1, done.stderr
    for name in ('numpy', 'yaml', 'rclpy', 'stereo_msgs.msg', 'surgseg_ros.msg'):
        assert f'missing  {name}:' in done.stdout
    assert 'make setup' in done.stdout
    assert 'Traceback' not in done.stdout + done.stderr


def test_without_rclpy_the_rest_is_still_judged(tmp_path: Path) -> None:
    (tmp_path / 'rclpy.py').write_text('raise ImportError("built for another Python")')
    done = report_of(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert 'missing  rclpy: built for another Python' in done.stdout
    assert 'missing  image through DDS: ImportError: built for another Python' in done.stdout
    assert 'ok       numpy:' in done.stdout


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    monkeypatch.setenv(doctor.PROFILE, '/nowhere/profile.xml')
    found = {check.name: check for check in doctor.check_middleware()}[doctor.PROFILE]
    assert found.state == 'warning'
    assert '/nowhere/profile.xml is not there' in found.found
    ours = Path(found.mend.partition('=')[2])
    assert ours.name == 'fastdds.xml'
    assert ours.is_file()


def test_little_shared_memory_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared_memory, 'FOLDER', tmp_path)
    monkeypatch.setattr(doctor, 'LEAST_SHARED_MEMORY_MB', 2**40)
    assert [check.state for check in doctor.check_shared_memory()] == ['warning']
    monkeypatch.setattr(shared_memory, 'FOLDER', tmp_path / 'none')
    assert [check.state for check in doctor.check_shared_memory()] == ['warning']


@pytest.mark.parametrize(
    ('received', 'median', 'state'),
    [(20, 2.0, 'ok'), (20, 25.0, 'warning'), (12, 2.0, 'warning'), (0, None, 'missing')],
)
def test_the_exchange_is_judged(received: int, median: float | None, state: str) -> None:
    assert doctor._judged(20, received, median, median).state == state


def test_a_check_that_breaks_does_not_end_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_python() -> None:
        raise RuntimeError('broken')

    monkeypatch.setattr(doctor, 'check_python', check_python)
    report = list(doctor.checks(quick=True))
    assert (report[0].state, report[0].name) == ('warning', 'python')
    assert report[-1].name == 'onnxruntime'


def test_what_killed_processes_left_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared_memory, 'FOLDER', tmp_path)
    (tmp_path / 'fastrtps_0123456789abcdef_el').touch()
    (check,) = doctor.check_shared_memory()
    assert '1 segments of killed processes' in check.found
    assert 'fastdds shm clean' in check.mend


def test_a_cache_in_which_nothing_can_be_kept_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'file').touch()
    monkeypatch.setenv('SURGSEG_CACHE', str(tmp_path / 'file'))
    (check,) = doctor.check_cache()
    assert check.state == 'warning'
    assert f'nothing can be kept in {tmp_path / "file"}: ' in check.found
    assert 'SURGSEG_CACHE' in check.mend


def test_the_cache_of_networks_is_measured_and_cleared_but_nothing_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('SURGSEG_CACHE', str(tmp_path))
    for name in ('onnx/a.onnx', 'openvino/b.blob', 'of_somebody_else/c'):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(bytes(10**6))
    [found] = doctor.check_cache()
    assert (found.state, found.found, found.mend) == ('ok', f'2 MB in {tmp_path}', '')
    monkeypatch.setattr(doctor, 'LARGE_CACHE', 10**6)
    [found] = doctor.check_cache()
    assert 'surgseg doctor --clear-cache' in found.mend
    assert main(['doctor', '--clear-cache']) == 0
    assert f'2 MB of exported networks deleted from {tmp_path}' in capsys.readouterr().out
    assert [path.name for path in tmp_path.rglob('*') if path.is_file()] == ['c']
    assert main(['doctor', '--clear-cache']) == 0, 'an empty cache can be cleared, too'
