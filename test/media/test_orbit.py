"""The camera that circles the endoscope, its scale bar and its videos."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_stereo import rectified_calibration, stereo_pair

from surgseg_ros.cli import main
from surgseg_ros.commands import stereo_outputs
from surgseg_ros.commands.stereo_outputs import views_per_frame
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.geometry.calibration_files import write_camera_info
from surgseg_ros.media.orbit import Orbit, looking

CALIBRATION = rectified_calibration()  # 320x256, f 300 px, baseline 4.3 mm
DEPTH = 0.08


def flat(mask: np.ndarray | None = None) -> tuple[np.ndarray, StereoResult]:
    disparity = np.full((256, 320), 300 * 0.0043 / DEPTH, np.float32)
    return np.full((256, 320, 3), 180, np.uint8), StereoResult(disparity, mask)


@pytest.mark.parametrize('angle', [0.0, 1.0, 2.5, 4.0])
def test_looking_at_the_target_upright(angle: float) -> None:
    eye = np.array([0.03 * np.cos(angle), 0.03 * np.sin(angle), -0.01])
    target = np.array([0.005, -0.002, DEPTH])
    pose = looking(eye, target)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    seen = pose @ [*target, 1]
    np.testing.assert_allclose(seen[:2], 0, atol=1e-12)
    assert seen[2] == pytest.approx(np.linalg.norm(target - eye))
    above = pose @ [target[0], target[1] - 0.01, target[2], 1]
    assert above[1] < 0 and above[0] == pytest.approx(0, abs=1e-12)


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    """A black bar of 20 mm lies on the plane before the endoscope; the drawn one is as long."""
    left, result = flat()
    middle, half = 160, round(0.010 * 300 / DEPTH)
    left[120:136, middle - half : middle + half] = 0
    view = next(iter(Orbit(CALIBRATION).views(left, result, [np.pi / 2])))  # from below
    assert view.shape == (768, 960, 3)
    row = view[round(0.95 * 768)]
    white = np.nonzero((row == 255).all(axis=-1))[0]
    black = np.nonzero((view[384] < 8).all(axis=-1))[0]
    assert white.max() - white.min() == pytest.approx(black.max() - black.min(), rel=0.05)


def test_tools_are_cyan() -> None:
    mask = np.zeros((256, 320), np.uint8)
    mask[100:150, 100:220] = 1
    left, result = flat(mask)
    left[:] = 180, 60, 50
    left[100:150, 100:160] = 5  # black tools, too
    view = next(iter(Orbit(CALIBRATION).views(left, result, [0.0]))).astype(int)
    cyan = (view[..., 1] > 50) & (view[..., 1] > view[..., 0] + 30)
    red = view[..., 0] > view[..., 1] + 60
    assert 0.6 < cyan.sum() / red.sum() / (mask.mean() / (1 - mask.mean())) < 1.6


def test_nothing_to_see_is_an_error() -> None:
    left, result = flat()
    result.disparity[:] = np.nan
    with pytest.raises(ValueError, match='no pixel has a disparity'):
        list(Orbit(CALIBRATION).views(left, result, [0.0]))


def test_short_sequences_are_slowed_down_to_a_turn() -> None:
    assert [views_per_frame(None, count) for count in (1, 10, 150, 1000, None)] == [
        200,
        20,
        2,
        1,
        1,
    ]
    assert views_per_frame(7, 1000) == 200


@pytest.fixture
def pairs(tmp_path: Path) -> list[str]:
    """Arguments for three calibrated pairs, the last of them blank: nothing is found in it."""
    for eye in ('left', 'right'):
        (tmp_path / eye).mkdir()
    for index in range(3):
        disparity = np.full((256, 320), 16, np.float32)
        images = stereo_pair(disparity, index) if index < 2 else np.zeros((2, 256, 320, 3))
        for eye, image in zip(('left', 'right'), images, strict=True):
            cv2.imwrite(str(tmp_path / eye / f'{index}.png'), image)
    write_camera_info(CALIBRATION, tmp_path)
    calibration = f'{tmp_path}/left.yaml,{tmp_path}/right.yaml'
    return ['infer', 'stereo', str(tmp_path), '--calibration', calibration]


@pytest.mark.parametrize('only', [[], ['--orbit-frame', '1']])
def test_video(pairs: list[str], tmp_path: Path, only: list[str], capsys, monkeypatch) -> None:
    monkeypatch.setattr(stereo_outputs, '_TURN', 40)  # pictures; 200 take their time
    out = tmp_path / 'orbit.mp4'
    assert main([*pairs, '--frames', '2', '--render-orbit', str(out), *only]) == 0
    frames = re.search(r'(\d+) frames in ', capsys.readouterr().out)
    assert frames and int(frames[1]) == (1 if only else 2)  # only what is shown is matched
    video = cv2.VideoCapture(str(out))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 40 and video.get(cv2.CAP_PROP_FPS) == 25
    pictures = [video.read()[1].astype(int) for _ in range(40)]
    assert pictures[0].shape == (768, 960, 3)
    lit = [(picture.max(axis=2) > 60).mean() for picture in pictures[::10]]
    assert all(0.2 < share < 0.9 for share in lit)
    step = np.abs(pictures[1] - pictures[0]).mean()
    half = np.abs(pictures[20] - pictures[0]).mean()
    assert 0 < step < half  # it moves, and slowly


def test_a_failure_leaves_no_video(pairs: list[str], tmp_path: Path, capsys) -> None:
    assert main([*pairs, '--render-orbit', str(tmp_path / 'orbit.mp4')]) == 2
    assert 'no pixel has a disparity' in capsys.readouterr().err
    assert main([*pairs, '--render-orbit', str(tmp_path / 'orbit.mp4'), '--orbit-frame', '3']) == 2
    assert 'none of 3 frames is number 3' in capsys.readouterr().err
    assert not list(tmp_path.glob('*.mp4')) and not list(tmp_path.glob('.*'))
