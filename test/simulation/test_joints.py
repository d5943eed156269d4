"""Joints as on a da Vinci: their truth against pixels, against the kit, and what arms report."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip('mujoco')

from surgseg_ros.frames.parts import Part
from surgseg_ros.frames.tool_pose import KeypointKind
from surgseg_ros.geometry.dvrk_kinematics import Manipulator, read_arm, read_instrument
from surgseg_ros.simulation import VirtualEndoscope
from surgseg_ros.simulation.arm import KinematicError, VirtualArm
from surgseg_ros.simulation.instruments import CATALOGUE, da_vinci
from surgseg_ros.simulation.motion import Articulation, Axis, ToolMotion

FILES = {
    'Prograsp Forceps': ('PROGRASP_FORCEPS_400093', 0.0107),
    'Large Needle Driver': ('LARGE_NEEDLE_DRIVER_400006', 0.0091),
    'Bipolar Forceps': ('FENESTRATED_BIPOLAR_FORCEPS_400205', 0.0107),
    'Monopolar Curved Scissors': ('MONOPOLAR_CURVED_SCISSORS_400179', 0.0091),
}
FRAMES = range(0, 120, 10)


@pytest.fixture(scope='module')
def endoscope():
    kinds = [kind.class_name for kind in CATALOGUE]
    with VirtualEndoscope(
        240, 192, seed=8, kinds=kinds, articulated=True, kinematics='exact', rate=4.0
    ) as endoscope:
        yield endoscope


@pytest.fixture(scope='module')
def truths(endoscope):
    return [endoscope.truth(index) for index in FRAMES]


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two rotations."""
    return float(np.rad2deg(Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).magnitude()))


def test_all_joints_move_over_their_ranges(truths):
    for tools in zip(*(truth.tools for truth in truths), strict=True):
        joints = np.array([(j.roll, j.pitch, j.yaw, j.opening) for j in (t.joints for t in tools)])
        assert np.all(np.ptp(joints, axis=0) > (0.8, 1.0, 1.0, 0.3))
        assert np.all(np.abs(joints[:, 1:3]) <= np.pi / 2) and np.all(joints[:, 3] >= 0)


def test_lengths_are_the_kits(truths):
    for tool in truths[0].tools:
        yaw, pitch = tool.point(KeypointKind.WRIST_YAW), tool.point(KeypointKind.WRIST_PITCH)
        assert np.linalg.norm(yaw - pitch) == pytest.approx(FILES[tool.class_name][1], abs=1e-9)


def test_kit_file_gives_the_true_control_point(endoscope, truths, shared_data):
    """From the joints that an exact arm reports, through the kit's own files: 0.1 mm, 0.1 deg."""
    folder = shared_data / 'dvrk_kinematics'
    if not folder.is_dir():
        pytest.skip('shared/data has no files of the research kit')
    arm = read_arm(folder / 'PSM.json')
    for index, truth in zip(FRAMES, truths, strict=True):
        for tool, state in zip(truth.tools, endoscope.arm_states(index), strict=True):
            file = FILES[tool.class_name][0]
            kit = Manipulator(arm, read_instrument(folder / f'{file}.json'))
            pose = state.base @ kit.measured_cp(state.positions)
            assert np.linalg.norm(pose[:3, 3] - tool.control_point[:3, 3]) < 1e-4
            assert angle(pose, tool.control_point) < 0.1
            limits = np.array([joint.limits for joint in kit.joints])
            assert np.all(state.positions >= limits[:, 0] - 1e-4)
            assert np.all(state.positions <= limits[:, 1] + 1e-4)
            assert state.positions[3:] == pytest.approx(
                [tool.joints.roll, tool.joints.pitch, tool.joints.yaw]
            )
            np.testing.assert_allclose(state.base[:3, 3], tool.insertion_point)


def test_control_point_and_keypoints_agree(truths):
    """z runs along the jaws' bisector, x along their axis, and tip 1 lies towards +y."""
    for tool in (tool for truth in truths for tool in truth.tools):
        local = np.linalg.inv(tool.control_point)
        at = {
            kind: local[:3, :3] @ tool.point(kind) + local[:3, 3]
            for kind in tool.keypoints
            if kind != KeypointKind.ENTRY
        }
        np.testing.assert_allclose(at[KeypointKind.WRIST_YAW], 0.0, atol=1e-12)
        first, second = at[KeypointKind.JAW_TIP_1], at[KeypointKind.JAW_TIP_2]
        np.testing.assert_allclose(first, second * (1, -1, 1), atol=1e-12)
        assert first[1] > 0 and first[2] > 0 and abs(first[0]) < 1e-12
        assert 2 * np.arctan2(first[1], first[2]) == pytest.approx(tool.jaw_angle)
        np.testing.assert_allclose(at[KeypointKind.JAW_TIPS], (first + second) / 2, atol=1e-12)
        np.testing.assert_allclose(tool.pose[:3, 3], tool.point(KeypointKind.JAW_TIPS))
        # the pitch axis is the shaft's x, and the shaft's line passes through the remote centre
        to_centre = tool.insertion_point - tool.shaft[:3, 3]
        assert np.linalg.norm(np.cross(to_centre, tool.axis)) < 1e-9
        pitched = Rotation.from_rotvec(tool.joints.pitch * np.array([1.0, 0, 0])).as_matrix()
        wrist = tool.shaft[:3, :3] @ pitched
        offset = tool.point(KeypointKind.WRIST_YAW) - tool.point(KeypointKind.WRIST_PITCH)
        np.testing.assert_allclose(offset / np.linalg.norm(offset), wrist[:, 2], atol=1e-9)


def test_keypoints_lie_on_their_parts_in_the_picture(truths):
    """A visible point's pixel is on, or beside, the part that it belongs to."""
    belongs = {
        KeypointKind.SHAFT_END: {Part.SHAFT, Part.WRIST},
        KeypointKind.WRIST_PITCH: {Part.WRIST},
        KeypointKind.WRIST_YAW: {Part.WRIST, Part.JAW},
        KeypointKind.JAW_TIP_1: {Part.JAW},
        KeypointKind.JAW_TIP_2: {Part.JAW},
        KeypointKind.ENTRY: {Part.SHAFT},
    }
    hits = {kind: [] for kind in belongs}
    for truth in truths:
        for tool in truth.tools:
            for kind, keypoint in tool.keypoints.items():
                if keypoint.visible and kind in belongs:
                    u, v = np.round(keypoint.pixel).astype(int)
                    window = np.s_[max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2]
                    own = truth.parts[window][truth.instances[window] == tool.slot]
                    assert own.size
                    hits[kind].append(bool(belongs[kind] & {Part(p) for p in own}))
    for kind, found in hits.items():  # another part of the same instrument may lie in front
        assert len(found) > 5 and np.mean(found) > 0.7, kind


def test_hidden_and_outside_points_are_not_visible(truths):
    height, width = truths[0].instances.shape
    outside = hidden = 0
    for truth in truths:
        for tool in truth.tools:
            for keypoint in tool.keypoints.values():
                u, v = keypoint.pixel
                if not (-2 < u < width + 1 and -2 < v < height + 1):
                    outside += 1
                    assert not keypoint.visible
                hidden += not keypoint.visible and 0 <= u < width and 0 <= v < height
    assert outside and hidden


def test_entry_lies_on_the_pictures_edge(truths):
    height, width = truths[0].instances.shape
    entries = 0
    for tool in (tool for truth in truths for tool in truth.tools):
        if KeypointKind.ENTRY in tool.keypoints:
            u, v = tool.keypoints[KeypointKind.ENTRY].pixel
            borders = np.abs([u + 0.5, u - width + 0.5, v + 0.5, v - height + 0.5])
            assert borders.min() < 1e-6
            along = tool.point(KeypointKind.ENTRY) - tool.shaft[:3, 3]
            assert np.linalg.norm(np.cross(along, tool.axis)) < 1e-9 and along @ tool.axis < 0
            entries += 1
    assert entries > 12


def test_bent_instruments_stay_clear_of_the_tissue(endoscope):
    for index in FRAMES:
        moment = endoscope.moment(index)
        back = np.linalg.inv(moment.tissue)
        for kind, links in zip(endoscope.kinds, moment.links, strict=True):
            tips = [jaw @ (0, 0, kind.jaw.length, 1) for jaw in links.jaws]
            x, y, z = (back @ np.array([*tips, links.clevis[:, 3], links.wrist[:, 3]]).T)[:3]
            assert np.all(z > endoscope._tissue.height(x, y))


def test_classic_wrists_are_straight_and_short():
    with VirtualEndoscope(64, 48, seed=1) as endoscope:
        tool = endoscope.truth(3).tools[0]
    assert (tool.joints.pitch, tool.joints.yaw) == (0.0, 0.0)
    length = tool.point(KeypointKind.WRIST_YAW) - tool.point(KeypointKind.WRIST_PITCH)
    assert np.linalg.norm(length) == pytest.approx(0.0075)


def test_arms_report_exactly_or_like_a_real_kit():
    """Constant offsets and a scale: 5 mm and 3.6 degrees on average over seeds and poses."""
    errors, turns = [], []
    kind = da_vinci(CATALOGUE)[1]
    for seed in range(30):
        rng = np.random.default_rng(seed)
        tool = ToolMotion(rng, seed % 4, kind, Articulation.full(kind), 0.0, rng)
        arm = VirtualArm(rng, kind, tool)
        wrong, right = (KinematicError.draw(rng, name) for name in ('kit', 'exact'))
        differences = []
        for t in (0.0, 5.0, 11.0):
            state = tool.joints(t, Axis(tool.port, tool.middle), np.eye(4))
            true, measured = arm.report(1, state, right), arm.report(1, state, wrong)
            np.testing.assert_array_equal(true.positions, arm.joints(state))
            np.testing.assert_array_equal(true.base, measured.base)
            assert true.jaw == measured.jaw == state.opening
            differences.append(measured.positions - true.positions)
            offset = measured.measured_cp[:3, 3] - true.measured_cp[:3, 3]
            errors.append(1e3 * np.linalg.norm(offset))
            turns.append(angle(measured.measured_cp, true.measured_cp))
        assert np.ptp(differences, axis=0).max() < 0.1  # constant but for the scale
    assert np.mean(errors) == pytest.approx(5.0, abs=0.8)
    assert np.mean(turns) == pytest.approx(3.6, abs=0.6)


def test_no_arm_reports_unless_asked_and_wrong_words_are_one_sentence():
    with VirtualEndoscope(64, 48) as endoscope:
        assert endoscope.render(0).arms == ()
    with pytest.raises(ValueError, match="kinematics is 'good', expected exact or kit"):
        VirtualEndoscope(64, 48, kinematics='good')
