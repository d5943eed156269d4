"""`surgseg register` on files and bags, and its files as the research kit reads them."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from surgseg_ros.bags import BagWriter, make_message
from surgseg_ros.cli import main
from surgseg_ros.frames.tool_pose import ToolPose
from surgseg_ros.rosdata import messages, tool_poses

SECOND = 1_000_000_000


def transform() -> np.ndarray:
    X = np.eye(4)
    X[:3, :3] = Rotation.from_euler('xyz', (170, 10, 30), degrees=True).as_matrix()
    X[:3, 3] = 0.02, 0.01, 0.2
    return X


def arm_poses(count: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.4, (count, 3))).as_matrix()
    T[:, :3, 3] = rng.normal(0, 0.015, (count, 3))
    return T


def write_pairs(path: Path, count: int = 12) -> Path:
    entries = [
        {'pose': T.tolist(), 'point': (transform() @ T)[:3, 3].tolist()} for T in arm_poses(count)
    ]
    path.write_text(json.dumps({'pairs': entries}))
    return path


def write_bag(path: Path, count: int = 40) -> Path:
    """Poses of an arm every 0.5 s, and the same ones as the camera saw them."""
    with BagWriter(path) as writer:
        for index, T in enumerate(arm_poses(count)):
            stamp = (index + 1) * SECOND // 2
            base = messages.header(make_message, stamp, 'PSM1_base')
            pose = make_message(
                'geometry_msgs/msg/PoseStamped',
                header=base,
                pose=messages.pose_message(make_message, T),
            )
            writer.write('/PSM1/measured_cp', 'geometry_msgs/msg/PoseStamped', pose, stamp)
            seen = ToolPose(slot=1, shaft=transform() @ T, control_point=transform() @ T)
            camera = messages.header(make_message, stamp, 'endoscope_left_optical')
            found = tool_poses.tool_poses(make_message, camera, [seen])
            writer.write('/endoscope/tool_poses', 'surgseg_ros/msg/ToolPoses', found, stamp)
    return path


def test_real_pairs_of_a_da_vinci_agree_within_a_millimetre(
    shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / 'pose_thrust' / 'tips_poses.json'
    assert main(['register', str(source), '--arm', 'PSM2', '--out', str(tmp_path)]) == 0
    summary = json.loads((tmp_path / 'PSM2-registration.json').read_text())
    assert summary['leave_one_out_mm']['mean'] <= 1.0
    assert (tmp_path / 'PSM2-residuals.png').stat().st_size > 10_000


def test_the_kits_files_are_read_as_its_tools_read_them(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / 'pairs.json')
    assert main(['register', str(pairs), '--arm', 'PSM1', '--out', str(tmp_path / 'out')]) == 0
    viewer = json.loads((tmp_path / 'out' / 'PSM1-registration-open-cv.json').read_text())
    camera_from_base = np.array(viewer['base-frame']['transform']).reshape(4, 4)
    assert np.allclose(camera_from_base, transform(), atol=1e-4)
    assert viewer['base-frame']['reference-frame'] == 'endoscope_left_optical'
    pasted = '{' + (tmp_path / 'out' / 'PSM1-registration-dVRK.json').read_text() + '}'
    isi = np.array(json.loads(pasted)['base-frame']['transform'])
    assert np.allclose(isi, np.diag([-1, -1, 1, 1]) @ transform(), atol=1e-4)
    static = yaml.safe_load((tmp_path / 'out' / 'PSM1-static-transform.yaml').read_text())
    parameters = static['static_transform_publisher']['ros__parameters']
    rotation = Rotation.from_quat([parameters[f'rotation.{axis}'] for axis in 'xyzw'])
    assert np.allclose(rotation.as_matrix(), transform()[:3, :3], atol=1e-4)
    assert parameters['child_frame_id'] == 'PSM1_base'


def test_a_bag_of_both_sides_is_enough(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'both.mcap')
    out = tmp_path / 'out'
    assert main(['register', str(bag), '--arm', 'PSM1', '--out', str(out)]) == 0
    summary = json.loads((out / 'PSM1-registration.json').read_text())
    assert summary['pairs'] == 40
    assert np.allclose(summary['camera_from_base'], transform(), atol=1e-4)
    assert summary['delay_s'] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--arm', 'PSM2'], 'has no topic /PSM2/measured_cp of type PoseStamped'),
        (['--arm', 'PSM1', '--tool', '3'], 'has no measured pose of tool 3'),
        (['--arm', 'PSM1', '--poses-topic', '/x'], 'has no topic /x of type ToolPoses'),
        (['--arm', 'left'], 'has no number'),
        (['--arm', 'PSM1', '--offset', '1,2'], 'expected "estimate" or three numbers'),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_writes_nothing(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / 'both.mcap', 6)
    out = tmp_path / 'out'
    words = ['register', str(bag), '--out', str(out), '--robot-topic', '/PSM1/measured_cp']
    if 'PSM2' in options:
        words = words[:-2]
    if 'left' in options:
        words += ['--poses-topic', '/endoscope/tool_poses']
    assert main([*words, *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_broken_pairs_name_the_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pairs(tmp_path / 'pairs.json')
    content = json.loads(path.read_text())
    content['pairs'][4]['pose'][0] = [1, 2, 3, 'x']
    path.write_text(json.dumps(content))
    assert main(['register', str(path), '--arm', 'PSM1', '--out', str(tmp_path / 'out')]) == 2
    assert 'pair 4: pose is not 4x4 finite numbers' in capsys.readouterr().err
