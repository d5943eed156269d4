"""A ROS that is sourced in the shell does not reach the Python of .venv."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = 'raise ImportError("this is another ROS")\n'
CODE = (
    'import os, rclpy, rclpy.node, sensor_msgs.msg, surgseg_ros\n'
    'from surgseg_ros.media.share import share\n'
    'sensor_msgs.msg.Image()\n'
    'print(share(), os.environ.get("RMW_IMPLEMENTATION"), os.environ["ROS_DOMAIN_ID"])'
)

pytestmark = pytest.mark.skipif(
    not (Path(sys.prefix) / 'bin' / 'colcon').exists(), reason='not in the .venv of `make setup`'
)


@pytest.fixture
def sourced(tmp_path: Path) -> dict[str, str]:
    """Environment of a shell with another ROS, and a workspace on it, sourced."""
    other, workspace = tmp_path / 'opt' / 'ros' / 'jazzy', tmp_path / 'ws' / 'install' / 'mine'
    for prefix, package in ((other, 'rclpy'), (other, 'sensor_msgs'), (workspace, 'surgseg_ros')):
        folder = prefix / 'lib' / 'python3.12' / 'site-packages' / package
        folder.mkdir(parents=True)
        (folder / '__init__.py').write_text(BROKEN)
        (prefix / 'share' / 'surgseg_ros' / 'config').mkdir(parents=True, exist_ok=True)
    for name in ('librcl.so', 'libsensor_msgs__rosidl_typesupport_c.so', 'librcutils.so'):
        (other / 'lib' / name).write_bytes(b'no library')
    lists = {
        'PYTHONPATH': [prefix / 'lib/python3.12/site-packages' for prefix in (workspace, other)],
        'LD_LIBRARY_PATH': [other / 'lib', workspace / 'lib'],
        'AMENT_PREFIX_PATH': [workspace, other],
        'CMAKE_PREFIX_PATH': [workspace, other],
    }
    made = {name: os.pathsep.join(map(str, folders)) for name, folders in lists.items()}
    plain = {k: v for k, v in os.environ.items() if k != '_ROS_WHEELS_BOOTSTRAP_COMPLETE'}
    return plain | made | {'ROS_DISTRO': 'jazzy', 'ROS_DOMAIN_ID': '7'}


def test_python_takes_its_own_ros(sourced: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, '-c', CODE], env=sourced, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(Path(sys.prefix) / 'share' / 'surgseg_ros'), 'None', '7']


def test_a_middleware_that_is_not_here_is_said_in_one_sentence(sourced: dict[str, str]) -> None:
    sourced['RMW_IMPLEMENTATION'] = 'rmw_cyclonedds_cpp'
    done = subprocess.run(
        [sys.executable, '-c', CODE], env=sourced, text=True, capture_output=True
    )
    assert done.stdout.split()[1:] == ['None', '7'], done.stderr
    assert done.stderr.count('\n') == 1
    assert 'RMW_IMPLEMENTATION=rmw_cyclonedds_cpp is not in' in done.stderr


def test_the_installed_command_takes_its_own_ros(sourced: dict[str, str]) -> None:
    words = [str(Path(sys.prefix) / 'bin' / 'surgseg'), 'doctor', '--quick']
    done = subprocess.run(words, env=sourced, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Ready.' in done.stdout and 'another ROS' not in done.stdout


def test_folders_of_message_definitions_and_of_other_things_stay(
    sourced: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / 'definitions' / 'share').mkdir(parents=True)
    (tmp_path / 'tools').mkdir()
    sourced['AMENT_PREFIX_PATH'] += f'{os.pathsep}{tmp_path / "definitions"}'
    sourced['PYTHONPATH'] += f'{os.pathsep}{tmp_path / "tools"}'
    code = 'import os; print(os.environ["AMENT_PREFIX_PATH"], os.environ["PYTHONPATH"])'
    done = subprocess.run(
        [sys.executable, '-c', code], env=sourced, text=True, capture_output=True
    )
    assert done.stdout.split() == [str(tmp_path / 'definitions'), str(tmp_path / 'tools')]
