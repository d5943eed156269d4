"""The subcommands that read and write files, run as a user runs them."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_frames import assert_same_camera, assert_same_frame, fake_calibration, fake_frames

from surgseg_ros.bags import BagReader, BagWriter
from surgseg_ros.bags.stereo_bag import StereoBag, write_frame
from surgseg_ros.cli import main
from surgseg_ros.geometry.calibration_files import read_calibration
from surgseg_ros.rosdata.messages import matrix_from_pose
from surgseg_ros.rosdata.tool_poses import tools_from_message

JOINTS = ['yaw', 'pitch', 'insertion', 'roll', 'wrist_pitch', 'wrist_yaw']

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    with BagWriter(tmp_path / 'case.mcap') as writer:
        for frame in fake_frames(3):
            write_frame(writer, frame)
    return tmp_path / 'case.mcap'


def test_bags_info(bag: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['bags', 'info', str(bag)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'{bag}: 30 messages, 0.200 s from 1970-01-01 00:00:01 UTC'
    assert '       3  /endoscope/left/image_rect  sensor_msgs/msg/Image' in lines
    assert len(lines) == 11


def test_bags_info_of_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['bags', 'info', '/dev/null']) == 2
    assert '/dev/null is no bag: expected a folder' in capsys.readouterr().err


def test_bags_calibration(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / 'calibration'
    assert main(['bags', 'calibration', str(bag), str(folder)]) == 0
    written = read_calibration(folder)
    assert_same_camera(written.left, fake_calibration().left)
    assert_same_camera(written.right, fake_calibration().right)
    cv2.imwrite(str(tmp_path / '0.png'), fake_frames(1)[0].left)
    images = f'{tmp_path}/0.png,{tmp_path}/0.png'
    assert main(['bags', 'calibration', images, str(folder)]) == 2
    assert 'has no calibration' in capsys.readouterr().err


def test_true_disparities_are_for_pack_only(bag: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(['infer', 'stereo', str(bag), '--out', str(tmp_path), '--disparity', 'truth'])
    assert '--disparity' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['copy', 'copy.db3', 'copy.mcap'])
def test_bags_convert(bag: Path, tmp_path: Path, name: str) -> None:
    assert main(['bags', 'convert', str(bag), str(tmp_path / name)]) == 0
    for actual, expected in zip(StereoBag(tmp_path / name), fake_frames(3), strict=True):
        assert_same_frame(actual, expected)
    assert main(['bags', 'convert', str(bag), str(tmp_path / name)]) == 2  # exists


def test_bags_convert_some_topics(bag: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'less'
    arguments = ['bags', 'convert', str(bag), str(out), '--topics']
    assert main([*arguments, '/endoscope/left/image_rect']) == 0
    assert list(BagReader(out).topics) == ['/endoscope/left/image_rect']
    assert main([*arguments, '/nothing', '--overwrite']) == 2
    assert f'surgseg bags: {bag} has no topic /nothing' in capsys.readouterr().err
    assert out.exists()


@pytest.mark.parametrize('damage', ['cut', 'zeros', 'whole'])
def test_bags_recover(bag: Path, tmp_path: Path, damage: str, capsys) -> None:
    frames = fake_frames(60)  # several chunks
    with BagWriter(bag, overwrite=True) as writer:
        for frame in frames:
            write_frame(writer, frame)
    content = bag.read_bytes()
    keep = len(content) if damage == 'whole' else int(0.8 * len(content))
    bag.write_bytes(content[:keep] + bytes(1000 if damage == 'zeros' else 0))
    assert (main(['bags', 'info', str(bag)]) == 0) == (damage == 'whole')
    assert main(['bags', 'recover', str(bag), str(tmp_path / 'saved')]) == 0
    saved = list(StereoBag(tmp_path / 'saved'))
    assert (20 <= len(saved) < 60) if damage != 'whole' else len(saved) == 60
    for actual, expected in zip(saved[:-1], frames, strict=False):
        assert_same_frame(actual, expected)
    assert main(['bags', 'recover', str(tmp_path / 'nowhere'), str(tmp_path / 'x')]) == 2
    assert 'no remains of a recording' in capsys.readouterr().err


def test_bags_pack(tmp_path: Path) -> None:
    for eye in ('left', 'right'):
        (tmp_path / eye).mkdir()
        for index, frame in enumerate(fake_frames(3)):
            cv2.imwrite(str(tmp_path / eye / f'{index}.png'), getattr(frame, eye)[..., ::-1])
    out = tmp_path / 'out.mcap'
    assert main(['bags', 'pack', str(tmp_path), str(out), '--rate', '20', '--frames', '2']) == 0
    frames = list(StereoBag(out))
    assert [frame.stamp for frame in frames] == [1_000_000_000, 1_050_000_000]
    np.testing.assert_array_equal(frames[1].right, fake_frames(3)[1].right)


@pytest.mark.parametrize('file_format', ['png', 'tiff'])
def test_infer_stereo(tmp_path: Path, file_format: str, capsys) -> None:
    """A textured plane at 12 px, matched and written."""
    texture = np.random.default_rng(0).integers(0, 256, (96, 252, 3), np.uint8)
    texture = cv2.GaussianBlur(texture, (0, 0), 1.2)
    cv2.imwrite(str(tmp_path / 'l.png'), texture[:, :240])
    cv2.imwrite(str(tmp_path / 'r.png'), texture[:, 12:])
    out = tmp_path / 'out'
    images = f'{tmp_path}/l.png,{tmp_path}/r.png'
    arguments = ['infer', 'stereo', images, '--out', str(out), '--disparity-format', file_format]
    assert main(arguments) == 0
    written = cv2.imread(str(out / 'disparity' / f'l.{file_format}'), cv2.IMREAD_UNCHANGED)
    disparity = written / 128 if file_format == 'png' else written
    assert np.nanmedian(disparity) == pytest.approx(12, abs=0.2)
    said = capsys.readouterr().out
    share = re.search(r'1 frames in .*disparity for (\d+\.\d) % of the pixels', said)
    assert share and float(share[1]) > 60
    assert main([*arguments, '--cloud']) == 2
    assert 'has no calibration, which --cloud needs' in capsys.readouterr().err


def test_infer_writes_clouds(bag: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    assert main(['infer', 'stereo', str(bag), '--out', str(out), '--cloud', '--frames', '2']) == 0
    assert sorted(str(path.relative_to(out)) for path in out.glob('*/*')) == [
        'cloud/000000.ply',
        'cloud/000001.ply',
        'disparity/000000.tiff',
        'disparity/000001.tiff',
    ]


def test_infer_rectifies_the_real_video(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / 'stereo_surgt'
    assert main([
        'infer', 'stereo', str(folder / 'video.mp4'), '--frames', '1', '--cloud',
        '--calibration', str(folder / 'calibration.yaml'), '--out', str(tmp_path),
    ]) == 0  # fmt: skip
    content = (tmp_path / 'cloud' / '000000.ply').read_bytes()
    vertices = re.search(rb'element vertex (\d+)', content)
    assert vertices and int(vertices[1]) > 0.7 * 1280 * 1024
    points = np.frombuffer(content.partition(b'end_header\n')[2], '3<f4, 3u1')['f0']
    assert 0.04 < np.median(points[:, 2]) < 0.2  # m: a laparoscope's distance from the organs


def simulate(path: Path, *more: str) -> list[str]:
    pytest.importorskip('mujoco')
    return [
        sys.executable,
        '-m',
        'surgseg_ros.cli',
        'simulate',
        str(path),
        '--size',
        '64x48',
        *more,
    ]


def test_simulate_is_reproducible(tmp_path: Path) -> None:
    """In processes of their own: rendering must not meet other libraries."""
    for name in ('a.mcap', 'b.mcap'):
        command = simulate(tmp_path / name, '--frames', '3', '--seed', '1')
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        if 'apt install' in done.stderr:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
    assert (tmp_path / 'a.mcap').read_bytes() == (tmp_path / 'b.mcap').read_bytes()
    frames = list(StereoBag(tmp_path / 'a.mcap'))
    assert len(frames) == 3 and frames[0].truth.tools and frames[0].calibration


def test_simulate_writes_what_the_robots_arms_say(tmp_path: Path) -> None:
    """measured_cp in the base frame, that frame beside it as truth; a real kit's is wrong."""
    at: dict[str, np.ndarray] = {}
    for error in ('none', 'kit'):
        path = tmp_path / f'{error}.mcap'
        words = ('--frames', '1', '--articulated', '--tools', '1', '--kinematic-error', error)
        subprocess.run(simulate(path, *words), check=True, capture_output=True)
        with BagReader(path) as bag:
            found = {topic: message for topic, _, _, message in bag.messages()}
            stamp = found['/endoscope/left/image_rect'].header.stamp
        measured = found['/PSM1/measured_cp']
        assert (measured.header.frame_id, measured.header.stamp) == ('PSM1_base', stamp)
        tool = tools_from_message(found['/endoscope/ground_truth/tool_poses'])[0]
        base = found['/endoscope/ground_truth/PSM1/base_frame']
        assert base.header.frame_id == 'endoscope_left_optical'
        pose = matrix_from_pose(base.pose) @ matrix_from_pose(measured.pose)
        at[error] = 1e3 * np.linalg.norm(pose[:3, 3] - tool.control_point[:3, 3])
        joints, jaw = found['/PSM1/measured_js'], found['/PSM1/jaw/measured_js']
        assert list(joints.name) == JOINTS and len(joints.position) == 6
        assert list(jaw.name) == ['jaw'] and jaw.position[0] == pytest.approx(tool.jaw_angle)
    assert at['none'] < 1e-6 and 1.0 < at['kit'] < 15.0


def test_simulate_stopped_by_ctrl_c_leaves_a_bag_under_another_name(tmp_path: Path) -> None:
    command = simulate(tmp_path / 'bag', '--frames', '100000')
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    remains = tmp_path / 'bag.partial/bag/bag.mcap'
    deadline = time.monotonic() + 40
    while not (remains.exists() and remains.stat().st_size > 100_000):
        if process.poll() is not None:
            pytest.skip(f'no renderer here: {process.stderr.read()}')
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert f'what was written is in {tmp_path}/bag.partial/bag' in process.stderr.read()
    assert not (tmp_path / 'bag').exists()
    assert len(list(StereoBag(tmp_path / 'bag.partial/bag'))) >= 3


@pytest.mark.parametrize(
    ('arguments', 'least'),
    [
        (['simulate', 'OUT', '--frames', '-3'], 1),
        (['simulate', 'OUT', '--frames', '1.5'], 1),
        (['simulate', 'OUT', '--tools', '-1'], 0),
        (['bags', 'pack', 'IN', 'OUT', '--frames', '-1'], 1),
        (['infer', 'stereo', 'IN', '--out', 'OUT', '--frames', '-1'], 1),
        (['infer', 'stereo', 'IN', '--out', 'OUT', '--writers', '0'], 1),
    ],
)
def test_counts(bag: Path, tmp_path: Path, arguments: list[str], least: int, capsys) -> None:
    places = {'IN': str(bag), 'OUT': str(tmp_path / 'out')}
    with pytest.raises(SystemExit) as stop:
        main([places.get(word, word) for word in arguments])
    assert stop.value.code == 2
    assert f'is not a whole number of at least {least}' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_sizes(capsys) -> None:
    with pytest.raises(SystemExit):
        main(['simulate', 'out', '--size', 'large'])
    assert "'large' is not WIDTHxHEIGHT" in capsys.readouterr().err


WITH_LITTLE_SPACE = """
import resource, sys
from surgseg_ros.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ('action', 'name'),
    [('convert', 'out.db3'), ('pack', 'out'), ('recover', 'out.mcap'), ('simulate', 'out.mcap')],
)
def test_a_full_disk(bag: Path, tmp_path: Path, action: str, name: str) -> None:
    out = tmp_path / name
    words = ['bags', action, str(bag), str(out)]
    if action == 'simulate':
        words = ['simulate', str(out), '--frames', '3', '--size', '160x128']
    run = subprocess.run(
        [sys.executable, '-c', WITH_LITTLE_SPACE, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2 and 'Traceback' not in run.stderr, run.stderr
    assert f'{out} cannot be written: ' in run.stderr.splitlines()[-1]
    assert not out.exists()
