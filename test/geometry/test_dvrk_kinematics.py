"""The research kit's kinematics: against screws about axes that were derived by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from surgseg_ros.geometry.dvrk_kinematics import (
    Manipulator,
    endowrist,
    psm_joints,
    read_arm,
    read_instrument,
)

ARM = """/* an arm */
{ // rows
  "DH": {"convention": "modified", "joints": [
    {"name": "yaw", "alpha": 1.5708, "A": 0.0, "theta": 0.0, "D": 0.0, "type": "revolute",
     "mode": "active", "offset": 1.5708, // "D" + 90
     "qmin": -1.588, "qmax": 1.588},
    {"name": "pitch", "alpha": -1.5708, "A": 0.0, "theta": 0.0, "D": 0.0, "type": "revolute",
     "mode": "active", "offset": -1.5708, "qmin": -0.925025, "qmax": 0.925025},
    {"name": "insertion", "alpha": 1.5708, "A": 0.0, "theta": 0.0, "D": 0.0, "type": "prismatic",
     "mode": "active", "offset": -0.4318, "qmin": 0.0, "qmax": 0.24}
  ]}
}
"""
SNAKE = (0.4024, (0.0, 0.0034, 0.0068, 0.0102))
# Instruments of the kit: D of the roll, where each wrist joint lies beyond it, and how far beyond
# the last joint the control point is, m
TOOLS = {
    'CADIERE_FORCEPS_400049': (0.4162, (0.0, 0.0091), 0.0),
    'DEBAKEY_FORCEPS_400036': (0.4162, (0.0, 0.0091), 0.0),
    'FENESTRATED_BIPOLAR_FORCEPS_400205': (0.4162, (0.0, 0.0107), 0.0),
    'LARGE_CLIP_APPLIER_400230': (0.4162, (0.0, 0.0107), 0.0),
    'LARGE_NEEDLE_DRIVER_400006': (0.4162, (0.0, 0.0091), 0.0),
    'LARGE_NEEDLE_DRIVER_420006': (0.4670, (0.0, 0.0091), 0.0),
    'MARYLAND_BIPOLAR_FORCEPS_400172': (0.4162, (0.0, 0.0107), 0.0),
    'MARYLAND_DISSECTOR_400143': (*SNAKE, 0.0269),
    'MEGA_NEEDLE_DRIVER_400194': (0.4162, (0.0, 0.0112), 0.0),
    'MONOPOLAR_CURVED_SCISSORS_400179': (0.4162, (0.0, 0.0091), 0.0),
    'NEEDLE_DRIVER_400117': (*SNAKE, 0.0171),
    'PROGRASP_FORCEPS_400093': (0.4162, (0.0, 0.0107), 0.0),
}


def turn(axis: tuple[float, ...], angle: float, z: float = 0.0) -> np.ndarray:
    """4x4: a turn about an axis through (0, 0, z)."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(angle * np.array(axis)).as_matrix()
    T[:3, 3] = (np.eye(3) - T[:3, :3]) @ (0.0, 0.0, z)
    return T


def by_screws(tool: str, q: np.ndarray) -> np.ndarray:
    """The control point in the PSM's base frame by a product of screws (Brockett 1984).

    With all joints at 0 the instrument points down the base's z: the arm's yaw turns about y and
    its pitch about x of the base, roll about the instrument, the wrist about x and y again.
    """
    roll, along, beyond = TOOLS[tool]
    bottom = -(roll - 0.4318)
    insert = np.eye(4)
    insert[2, 3] = -q[2]
    pose = turn((0, -1, 0), q[0]) @ turn((-1, 0, 0), q[1]) @ insert @ turn((0, 0, -1), q[3])
    axes = [(-1, 0, 0), (0, -1, 0)] if len(along) == 2 else SNAKE_AXES
    for axis, where, angle in zip(axes, along, q[4:], strict=True):
        pose = pose @ turn(axis, angle, bottom - where)
    tip = np.eye(4)
    tip[:3, :3] = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]], float)  # z down, x along -yaw axis
    if len(along) == 4:
        tip[:3, :3] = tip[:3, :3] @ Rotation.from_rotvec([0, 0, 3 * np.pi / 4]).as_matrix()
    tip[2, 3] = bottom - along[-1] - beyond
    return pose @ tip


SNAKE_AXES = [(-1, 0, 0), (0, -1, 0), (0, -1, 0), (-1, 0, 0)]


def positions(manipulator: Manipulator, count: int = 20) -> np.ndarray:
    low, high = np.array([joint.limits for joint in manipulator.joints]).T
    return np.random.default_rng(3).uniform(low, high, (count, len(low)))


def assert_same_pose(pose: np.ndarray, expected: np.ndarray) -> None:
    """Within 0.1 mm and 0.1 degrees."""
    assert np.linalg.norm(pose[:3, 3] - expected[:3, 3]) < 1e-4
    between = Rotation.from_matrix(pose[:3, :3].T @ expected[:3, :3])
    assert np.rad2deg(between.magnitude()) < 0.1


@pytest.fixture
def kit(shared_data: Path) -> Path:
    folder = shared_data / 'dvrk_kinematics'
    if not folder.is_dir():
        pytest.skip('shared/data has no files of the research kit')
    return folder


@pytest.mark.parametrize('tool', TOOLS)
def test_control_point_of_the_kits_files(tool: str, kit: Path) -> None:
    manipulator = Manipulator(read_arm(kit / 'PSM.json'), read_instrument(kit / f'{tool}.json'))
    for q in positions(manipulator):
        assert_same_pose(manipulator.measured_cp(q), by_screws(tool, q))


@pytest.mark.parametrize('tool', [name for name, row in TOOLS.items() if len(row[1]) == 2])
def test_control_point_of_built_in_instruments(tool: str) -> None:
    """Lengths alone make the same instrument as its file."""
    shaft, along, _ = TOOLS[tool]
    manipulator = Manipulator(psm_joints(), endowrist(along[1], shaft))
    for q in positions(manipulator):
        assert_same_pose(manipulator.measured_cp(q), by_screws(tool, q))


def test_control_point_has_z_along_the_jaws_and_x_along_their_axis() -> None:
    """Wrist yaw turns about -x; the origin does not move, for it lies on that axis."""
    manipulator = Manipulator(psm_joints(), endowrist(0.0091))
    q = np.array([0.2, -0.3, 0.1, 0.4, 0.5, 0.0])
    straight, turned = manipulator.measured_cp(q), manipulator.measured_cp(q + 0.3 * np.eye(6)[5])
    np.testing.assert_allclose(straight[:3, 3], turned[:3, 3], atol=1e-12)
    between = Rotation.from_matrix(straight[:3, :3].T @ turned[:3, :3]).as_rotvec()
    np.testing.assert_allclose(between, (-0.3, 0.0, 0.0), atol=1e-12)
    pitch_axis = manipulator.links(q)[4][:3, 3]
    q[4] = 0.0
    unbent = manipulator.measured_cp(q)
    np.testing.assert_allclose(
        unbent[:3, 2], (unbent[:3, 3] - pitch_axis) / 0.0091, atol=1e-12
    )  # straight, z runs from the pitch axis to the yaw axis


def test_comments_are_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / 'arm.json'
    path.write_text(ARM)
    joints = read_arm(path)
    assert [joint.name for joint in joints] == ['yaw', 'pitch', 'insertion']
    assert [joint.prismatic for joint in joints] == [False, False, True]
    for joint, expected in zip(joints, psm_joints(), strict=True):
        np.testing.assert_allclose(joint.transform(0.1), expected.transform(0.1), atol=1e-5)
        assert joint.limits == expected.limits


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'arm.json is no JSON with comments'),
        ('[]', 'arm.json holds no object'),
        ('{"DH": {"convention": "standard"}}', "the DH convention 'standard', expected"),
        (ARM.replace('"A": 0.0, ', ''), "arm.json has a DH row that cannot be read: KeyError.'A'"),
        (ARM.replace('prismatic', 'helical'), 'a DH row that cannot be read.*helical'),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'arm.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_arm(path)


def test_wrong_number_of_positions_is_one_sentence() -> None:
    with pytest.raises(ValueError, match='2 joint positions were given, expected 6: yaw, pitch'):
        Manipulator(psm_joints(), endowrist(0.0091)).measured_cp([0.0, 0.0])
