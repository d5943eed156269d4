"""The virtual endoscope: repeatable pictures, truth that agrees with them and with itself."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mujoco')

from surgseg_ros.frames.parts import Part
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.frames.tool_pose import KeypointKind
from surgseg_ros.simulation import VirtualEndoscope
from surgseg_ros.simulation.instruments import SHAFT_RADIUS

SIZE = (320, 256)
FRAMES = (0, 40, 80)


@pytest.fixture(scope='module')
def endoscope():
    with VirtualEndoscope(*SIZE, seed=1) as endoscope:
        yield endoscope


@pytest.fixture(scope='module')
def frames(endoscope) -> list[StereoFrame]:
    return [endoscope.render(index) for index in FRAMES]


def digest(frame: StereoFrame) -> str:
    parts = frame.left, frame.right, frame.truth.disparity, frame.truth.parts
    poses = [tool.control_point for tool in frame.truth.tools]
    return hashlib.sha256(b''.join(a.tobytes() for a in (*parts, *poses))).hexdigest()


def points(frame: StereoFrame) -> np.ndarray:
    """HxWx3, metres, left optical frame, from the true disparity."""
    c = frame.calibration
    height, width = frame.truth.disparity.shape
    z = c.focal_length * c.baseline / frame.truth.disparity.astype(float)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    K = c.left.K
    return np.dstack([(u - K[0, 2]) * z / K[0, 0], (v - K[1, 2]) * z / K[1, 1], z])


def in_tool_frame(frame: StereoFrame, slot: int, part: Part) -> np.ndarray:
    """N x 3, mm: surface points of one tool's part, along the shaft from the jaw tips."""
    mask = (frame.truth.instances == slot) & (frame.truth.parts == part)
    tool = frame.truth.tools[slot - 1]
    pose = tool.shaft.copy()
    pose[:3, 3] = tool.point(KeypointKind.JAW_TIPS)
    inverse = np.linalg.inv(pose)
    return 1e3 * (points(frame)[mask] @ inverse[:3, :3].T + inverse[:3, 3])


def test_frame_layout(frames):
    frame = frames[1]
    for image in (frame.left, frame.right):
        assert image.shape == (256, 320, 3) and image.dtype == np.uint8
    assert frame.stamp == 4_000_000_000
    assert frame.truth.disparity.dtype == np.float32
    assert frame.truth.parts.dtype == frame.truth.instances.dtype == np.uint8
    assert [tool.slot for tool in frame.truth.tools] == [1, 2]


def test_calibration_is_that_of_an_ideal_da_vinci_pair(endoscope):
    c = endoscope.calibration
    assert 1035 <= c.focal_length * 1280 / SIZE[0] <= 1080
    assert c.baseline == pytest.approx(0.0043)
    assert c.right.P[0, 3] == pytest.approx(-c.focal_length * 0.0043)
    assert c.principal_offset == 0 and not c.left.D.any() and np.array_equal(c.left.R, np.eye(3))


def test_same_seed_same_bits_in_another_process_and_order(frames):
    code = (
        'from test_endoscope import *\n'
        'with VirtualEndoscope(*SIZE, seed=1) as e:\n'
        '    print(*[digest(e.render(i)) for i in reversed(FRAMES)])\n'
    )
    run = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert run.stdout.split() == [digest(frame) for frame in reversed(frames)]


def test_any_thread_may_render(endoscope, frames):
    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(endoscope.render, FRAMES[0]).result()
    assert digest(elsewhere) == digest(frames[0]) == digest(endoscope.render(FRAMES[0]))


def test_left_eye_alone_is_the_same(endoscope, frames):
    image, truth = endoscope.render_left(FRAMES[1])
    np.testing.assert_array_equal(image, frames[1].left)
    for name in ('disparity', 'parts', 'instances'):
        np.testing.assert_array_equal(getattr(truth, name), getattr(frames[1].truth, name))


def test_tools_enter_at_the_ports_asked_for():
    for port, edge in ((0, -1), (1, 0)):
        with VirtualEndoscope(160, 128, kinds=['Prograsp Forceps'], ports=[port]) as endoscope:
            assert endoscope.render_left(0)[1].instances[:, edge].any()
    with pytest.raises(ValueError, match=r'ports is \[4\], expected a number from 0 to 3'):
        VirtualEndoscope(num_tools=1, ports=[4])


def test_other_seed_other_picture(frames):
    with VirtualEndoscope(*SIZE, seed=2) as other:
        difference = np.abs(other.render(0).left.astype(int) - frames[0].left)
    assert difference.mean() > 10


def test_tissue_lies_at_working_distance():
    for seed in range(3, 7):
        with VirtualEndoscope(160, 128, seed=seed) as endoscope:
            for index in (0, 50, 100):
                frame = endoscope.render(index)
                assert np.isfinite(frame.truth.disparity).all()
                z = points(frame)[frame.truth.instances == 0][:, 2]
                assert z.min() >= 0.040 and z.max() <= 0.120


def test_disparity_agrees_with_the_right_view(endoscope, frames):
    """Every left pixel's point, looked up in the right view, is there or behind something."""
    for index, frame in zip(FRAMES, frames, strict=True):
        disparity = frame.truth.disparity.astype(float)
        right = endoscope.calibration.focal_length * endoscope.calibration.baseline
        right = right / endoscope.depth_pair(index)[1]
        height, width = disparity.shape
        u = np.arange(width) - disparity
        left_of = np.clip(np.floor(u).astype(int), 0, width - 2)
        rows = np.arange(height)[:, None]
        near, far = right[rows, left_of], right[rows, left_of + 1]
        expected = near + (u - left_of) * (far - near)
        smooth = (u >= 0) & (np.abs(near - far) < 0.5)
        hidden = expected > disparity + 0.5
        error = np.abs(expected - disparity)[smooth & ~hidden]
        assert hidden[smooth].mean() < 0.05
        assert np.percentile(error, 99) < 0.05


def test_images_agree_with_the_disparity():
    """Left, warped from right by the true disparity, matches far better than unwarped."""
    with VirtualEndoscope(*SIZE, seed=1, noise=0.0) as endoscope:
        frame = endoscope.render(0)
    left, right = frame.left.astype(float), frame.right.astype(float)
    rows, columns = np.indices(left.shape[:2])
    source = columns - frame.truth.disparity
    inside = source >= 0
    warped = right[rows, np.clip(np.round(source), 0, None).astype(int)]
    error = np.abs(warped - left)[inside]
    assert np.median(error) < 3.0
    assert np.median(np.abs(right - left)[inside]) > 3 * np.median(error)


def test_masks_are_consistent(frames):
    seen = set()
    for frame in frames:
        tool = frame.truth.instances > 0
        assert np.array_equal(tool, frame.truth.parts != Part.NONE)
        assert set(np.unique(frame.truth.parts)) <= {0, 1, 2, 3}
        seen |= set(zip(frame.truth.instances[tool], frame.truth.parts[tool], strict=True))
    assert seen == {(slot, part) for slot in (1, 2) for part in (1, 2, 3)}


def test_shaft_points_lie_on_the_tools_cylinder(frames):
    for frame in frames:
        for tool in frame.truth.tools:
            shaft = in_tool_frame(frame, tool.slot, Part.SHAFT)
            radius = np.linalg.norm(shaft[:, :2], axis=1)
            assert np.all(np.abs(radius - SHAFT_RADIUS) < 0.1)
            assert np.all(shaft[:, 2] < 0)


def test_origin_is_midway_between_the_jaw_tips():
    """From the pixels alone: the two jaws' farthest points are symmetric about the origin."""
    with VirtualEndoscope(640, 512, seed=1, kinds=['Monopolar Curved Scissors']) as endoscope:
        openings = [endoscope.moment(i).joints[0].opening for i in range(80)]
        frame = endoscope.render(int(np.argmax(openings)))
    tool = frame.truth.tools[0]
    jaws = in_tool_frame(frame, 1, Part.JAW)
    tips = [side[np.argmax(side[:, 2])] for side in (jaws[jaws[:, 0] > 1], jaws[jaws[:, 0] < -1])]
    assert np.abs(tips[0][0] - tips[1][0]) > 5.0
    assert np.allclose(0.5 * (tips[0] + tips[1]), 0.0, atol=0.5)
    length = endoscope.kinds[0].jaw.length
    spread = 2 * np.arcsin(0.5 * np.abs(tips[0][0] - tips[1][0]) / length)
    assert spread == pytest.approx(tool.jaw_angle, abs=0.1)


def test_bent_wrist_keeps_the_axis_along_the_shaft():
    with VirtualEndoscope(*SIZE, seed=1, wrist_bend=0.8) as endoscope:
        frame, moment = endoscope.render(15), endoscope.moment(15)
    assert max(abs(joints.bend) for joints in moment.joints) > 0.2
    for tool, links in zip(frame.truth.tools, moment.links, strict=True):
        mask = (frame.truth.instances == tool.slot) & (frame.truth.parts == Part.SHAFT)
        offset = points(frame)[mask] * 1e3 - links.shaft[:3, 3]
        across = np.linalg.norm(np.cross(offset, tool.axis), axis=1)
        assert np.all(np.abs(across - SHAFT_RADIUS) < 0.1)


def test_instruments_stay_clear_of_the_tissue_and_move_smoothly(endoscope):
    tips = []
    for index in range(100):
        moment = endoscope.moment(index)
        tips.append([links.tip[:3, 3] for links in moment.links])
        for links in moment.links:
            axis = links.tip[:3, 3] - np.outer(np.linspace(0, 60, 31), links.tip[:3, 2])
            x, y, z = (np.linalg.inv(moment.tissue) @ np.c_[axis, np.ones(31)].T)[:3]
            assert np.all(z > endoscope._tissue.height(x, y))
    steps = np.linalg.norm(np.diff(tips, axis=0), axis=-1)
    assert np.median(steps) > 0.1 and steps.max() < 6.0


def test_truth_can_be_left_out_and_tools_chosen():
    kinds = ['Large Needle Driver', 'Prograsp Forceps', 'Bipolar Forceps', 'Large Needle Driver']
    with VirtualEndoscope(64, 48, kinds=kinds, truth=False, frames=2) as endoscope:
        assert [frame.truth for frame in endoscope] == [None, None]
        assert [kind.class_name for kind in endoscope.kinds] == kinds
    with VirtualEndoscope(64, 48, num_tools=0) as endoscope:
        assert not endoscope.render(0).truth.instances.any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'width': 8}, 'image size is 8x512'),
        ({'rate': 0.0}, 'rate is 0.0'),
        ({'num_tools': 5}, '5 instruments'),
        ({'kinds': ['Spoon']}, "kinds names 'Spoon'"),
    ],
)
def test_bad_parameters_get_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        VirtualEndoscope(**options)


def test_bad_use_gets_one_sentence():
    endoscope = VirtualEndoscope(64, 48)
    with pytest.raises(ValueError, match='frame index is -1'):
        endoscope.render(-1)
    endoscope.close()
    endoscope.close()
    with pytest.raises(RuntimeError, match='closed'):
        endoscope.render(0)


def test_importing_the_room_loads_no_renderer():
    code = 'import surgseg_ros.simulation, sys; sys.exit("mujoco" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def test_missing_opengl_is_one_sentence_with_the_packages():
    code = (
        'import ctypes.util, ctypes\n'
        'load = ctypes.CDLL.__init__\n'
        'def refuse(self, name, *a, **k):\n'
        '    if name and "EGL" in name: raise OSError(name)\n'
        '    load(self, name, *a, **k)\n'
        'ctypes.CDLL.__init__ = refuse\n'
        'find = ctypes.util.find_library\n'
        'ctypes.util.find_library = lambda name: None if name == "EGL" else find(name)\n'
        'from surgseg_ros.simulation import VirtualEndoscope\n'
    )
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith('RuntimeError: ') and 'libegl1 and libgl1-mesa-dri' in last
