"""Every kind of source gives the same frames; what cannot be opened is said in one sentence."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_frames import assert_same_frame, fake_calibration, fake_frames

from surgseg_ros.bags import BagWriter
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.geometry.calibration_files import write_camera_info
from surgseg_ros.sources import (
    FIRST_STAMP,
    BagSource,
    SimulatorSource,
    VideoSource,
    open_left,
    open_source,
)

SIZE = {'width': 64, 'height': 48}


def save_rgb(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Folder with left/ and right/, whose eleventh frame sorts wrongly as text; truth/ too."""
    for index, frame in enumerate(fake_frames(11)):
        save_rgb(tmp_path / f'left/frame{index}.png', frame.left)
        save_rgb(tmp_path / f'right/frame{index}.png', frame.right)
        (tmp_path / 'truth').mkdir(exist_ok=True)
        np.save(tmp_path / f'truth/{index}.npy', np.nan_to_num(frame.truth.disparity))
    return tmp_path


def save_video(path: Path, axis: int, fps: float = 25.0) -> None:
    """Left eye red, right eye blue, brighter from frame to frame; lossless enough as MJPG."""
    size = (128, 48) if axis == 1 else (64, 96)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), fps, size)
    assert video.isOpened()
    for index in range(5):
        left, right = np.zeros((2, 48, 64, 3), np.uint8)
        left[..., 2] = right[..., 0] = 100 + 30 * index
        video.write(np.concatenate([left, right], axis))
    video.release()


# Folders and images.


def test_folders(images: Path) -> None:
    source = open_source(
        images, calibration=fake_calibration(), rate=10.0, disparity=images / 'truth'
    )
    assert (source.count, source.rate) == (11, 10.0)
    assert source.describe().endswith('11 frames, 10 Hz, calibrated')
    for actual, frame in zip(source, fake_frames(11), strict=True):
        truth = replace(frame.truth, parts=None, instances=None, tools=())
        assert_same_frame(actual, replace(frame, truth=truth))


def test_two_folders_and_two_images(images: Path) -> None:
    expected = fake_frames(11)
    pair = open_source(f'{images}/left,{images}/right')
    assert [frame.stamp for frame in pair] == [frame.stamp for frame in expected]
    (frame,) = open_source(f'{images}/left/frame3.png, {images}/right/frame3.png')
    np.testing.assert_array_equal(frame.left, expected[3].left)
    np.testing.assert_array_equal(frame.right, expected[3].right)
    assert (frame.calibration, frame.truth, frame.stamp) == (None, None, FIRST_STAMP)


def test_calibration_files(images: Path, tmp_path: Path) -> None:
    left, right = write_camera_info(fake_calibration(), tmp_path / 'calibration')
    for given in (f'{left},{right}', tmp_path / 'calibration'):
        source = open_source(images, calibration=given)
        assert source.calibration.baseline == pytest.approx(0.0043)
        assert next(iter(source)).calibration is source.calibration


def doubtful(**changes) -> object:
    own = fake_calibration()
    return replace(own, right=replace(own.right, **changes))


def test_meaningless_calibration_is_refused(images: Path, tmp_path: Path) -> None:
    P = fake_calibration().right.P * [[1, 1, 1, -1]] * np.ones((3, 1))
    with pytest.raises(ValueError, match='calibration of images .*the eyes are swapped'):
        open_source(images, calibration=doubtful(P=P))
    write_camera_info(doubtful(D=np.zeros(3)), tmp_path / 'bad')
    with pytest.raises(ValueError, match='calibration of .*bad: D of the right .* 3 numbers'):
        open_source(images, calibration=tmp_path / 'bad')
    with BagWriter(tmp_path / 'bag') as writer:
        write_frame(writer, replace(fake_frames(1)[0], calibration=doubtful(P=P)))
    with pytest.raises(ValueError, match='calibration of bag .*the eyes are swapped'):
        open_source(tmp_path / 'bag')
    with open_source(tmp_path / 'bag', calibration=fake_calibration()) as source:
        assert source.count == 1


def test_doubts_are_described(images: Path) -> None:
    P = fake_calibration().right.P * [[1, 1, 1, 1000]]
    said = open_source(images, calibration=doubtful(P=P)).describe()
    assert re.search(r'11 frames, 10 Hz, calibrated; the baseline is 4.3e\+03 mm', said)


def test_unequal_folders(images: Path) -> None:
    (images / 'right/frame4.png').unlink()
    with pytest.raises(ValueError, match='left has 11 images, .*right has 10'):
        open_source(images)
    (images / 'left/frame4.png').unlink()
    with pytest.raises(ValueError, match='truth has 11 disparities'):
        open_source(images, disparity=images / 'truth')


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        (['frame1', 'frame2'], ['frame1', 'frame2']),
        (['left_001', 'left_002'], ['right_001', 'right_002']),
        (['001L', '002L'], ['001R', '002R']),
        (['l1', 'l2'], ['r1', 'r2']),
        (['case3_1_left', 'case3_2_left'], ['case3_01_right', 'case3_02_right']),
        (['cam0_1', 'cam0_2'], ['cam1_1', 'cam1_2']),
        (['liver-left', 'spleen-left'], ['liver-right', 'spleen-right']),
    ],
)
def test_names_of_one_frame(tmp_path: Path, left: list[str], right: list[str]) -> None:
    save_names(tmp_path, left, right)
    assert open_source(tmp_path).count == 2


@pytest.mark.parametrize(
    ('left', 'right', 'first'),
    [
        (['frame1', 'frame2', 'frame4'], ['frame1', 'frame3', 'frame4'], ('frame2', 'frame3')),
        (['left_1', 'left_2'], ['right_1', 'right_3'], ('left_2', 'right_3')),
        (['1L', '2L'], ['2R', '3R'], ('1L', '2R')),
        (['kidney', 'liver'], ['kidney', 'spleen'], ('liver', 'spleen')),
    ],
)
def test_names_of_different_frames_are_refused(
    tmp_path: Path, left: list[str], right: list[str], first: tuple[str, str]
) -> None:
    save_names(tmp_path, left, right)
    one, other = first
    with pytest.raises(ValueError, match=f'left/{one}.png would be paired with .*/{other}.png:'):
        open_source(tmp_path)


def save_names(folder: Path, left: list[str], right: list[str]) -> None:
    for eye, names in (('left', left), ('right', right)):
        for name in names:
            save_rgb(folder / eye / f'{name}.png', fake_frames(1)[0].left)


def test_files_that_are_no_images(images: Path) -> None:
    (images / 'left/frame0.png').write_text('no image')
    with pytest.raises(ValueError, match='frame0.png is not an image'):
        open_source(images)
    (images / 'truth/0.npy').write_bytes(b'')
    np.save(images / 'truth/0.npy', np.zeros((4, 4), np.uint8))
    save_rgb(images / 'left/frame0.png', fake_frames(1)[0].left)
    with pytest.raises(ValueError, match='expected one channel of floats'):
        next(iter(open_source(images, disparity=images / 'truth')))


# Videos.


@pytest.mark.parametrize(('axis', 'stacking'), [(1, 'horizontal'), (0, 'vertical')])
@pytest.mark.parametrize('told', [True, False])
def test_video(tmp_path: Path, axis: int, stacking: str, told: bool) -> None:
    save_video(tmp_path / 'video.avi', axis)
    source = open_source(tmp_path / 'video.avi', stacking=stacking if told else None)
    assert (source.count, source.rate) == (5, 25.0)
    frames = list(source)
    assert [frame.stamp - FIRST_STAMP for frame in frames] == [40_000_000 * i for i in range(5)]
    for index, frame in enumerate(frames):
        level = 100 + 30 * index
        for eye, colour in ((frame.left, (level, 0, 0)), (frame.right, (0, 0, level))):
            assert eye.shape == (48, 64, 3)
            assert np.abs(np.median(eye, axis=(0, 1)) - colour).max() <= 6


def test_video_of_doubtful_shape(tmp_path: Path) -> None:
    video = cv2.VideoWriter(
        str(tmp_path / 'v.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 25, (160, 90)
    )
    video.write(np.zeros((90, 160, 3), np.uint8))
    video.release()
    with pytest.raises(ValueError, match="160x90, .* 'horizontal'"):
        open_source(tmp_path / 'v.avi')
    assert next(iter(open_source(tmp_path / 'v.avi', stacking='vertical'))).left.shape[0] == 45


def test_no_video(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='there is no video'):
        open_source(tmp_path / 'video.mp4')
    (tmp_path / 'video.mp4').write_text('not a video')
    with pytest.raises(ValueError, match='not a video that can be read'):
        open_source(tmp_path / 'video.mp4')


def test_real_stereo_video(shared_data: Path) -> None:
    folder = shared_data / 'stereo_surgt'
    source = open_source(folder / 'video.mp4', calibration=folder / 'calibration.yaml')
    assert isinstance(source, VideoSource) and source.count == 10
    frames = list(source.first(2))
    assert [frame.left.shape for frame in frames] == [(1024, 1280, 3)] * 2
    assert source.calibration.baseline == pytest.approx(4.14e-3, abs=2e-5)


def test_real_pair_with_truth(shared_data: Path) -> None:
    files = shared_data / 'stereo_scared_d1k2/d1k2_000000'
    (frame,) = open_source(f'{files}_left.png,{files}_right.png',
                           disparity=f'{files}_disparity_left.tiff')  # fmt: skip
    assert frame.left.shape == frame.right.shape == (512, 590, 3)
    known = np.isfinite(frame.truth.disparity)
    assert 0.5 < known.mean() < 1 and frame.truth.disparity[known].min() > 0


# Bags.


def test_bag(tmp_path: Path) -> None:
    expected = fake_frames(3)
    with BagWriter(tmp_path / 'bag.mcap') as writer:
        for frame in expected:
            write_frame(writer, frame)
    with open_source(tmp_path / 'bag.mcap') as source:
        assert isinstance(source, BagSource)
        assert source.describe() == (
            f'bag {tmp_path}/bag.mcap (/endoscope/left/image_rect): 3 frames, 10 Hz, calibrated'
        )
        for actual, frame in zip(source, expected, strict=True):
            assert_same_frame(actual, frame)
    other = fake_calibration(offset=2.0)
    replaced = open_source(tmp_path / 'bag.mcap', calibration=other)
    assert replaced.calibration.principal_offset == 2.0
    assert {id(frame.calibration) for frame in replaced} == {id(replaced.calibration)}


# The simulator.


def test_simulator() -> None:
    source = rendered('sim:seed=3,frames=2,width=64,height=48')
    assert isinstance(source, SimulatorSource) and source.count == 2
    frames = list(source)
    assert [frame.stamp for frame in frames] == [FIRST_STAMP, FIRST_STAMP + 100_000_000]
    assert frames[0].left.shape == (48, 64, 3) and frames[0].truth.disparity is not None
    for again, frame in zip(source, frames, strict=True):
        assert_same_frame(again, frame)
    source.close()


def rendered(spec: str):
    """Source on the simulator; skips where its renderer is not installed."""
    try:
        return open_source(spec)
    except (ImportError, OSError) as error:
        pytest.skip(f'no renderer here: {error}')


def test_simulator_options() -> None:
    with pytest.raises(ValueError, match=r"'seed' is not NAME=NUMBER in sim:seed"):
        open_source('sim:seed')
    for frames in ('1.5', '-3', '0'):
        with pytest.raises(ValueError, match=f'frames={frames} .* is no whole number of at least'):
            open_source(f'sim:frames={frames}')
    with pytest.raises(ValueError, match='cannot be set up so: .*colour'):
        rendered('sim:colour=3')


def test_simulator_options_are_numbers_words_and_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}

    class Endoscope:
        def __init__(self, **options: object) -> None:
            given.update(options)
            self.rate, self.calibration = 10.0, None

    fake = SimpleNamespace(VirtualEndoscope=Endoscope)
    monkeypatch.setitem(sys.modules, 'surgseg_ros.simulation', fake)
    open_source('sim:seed=3,noise=0.5,look=classic,articulated=true,truth=False,frames=2')
    assert given == {
        'seed': 3,
        'noise': 0.5,
        'look': 'classic',
        'articulated': True,
        'truth': False,
    }


def test_endless_source_must_be_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endoscope:
        """Stands in for the renderer, which a machine without OpenGL does not have."""

        def __init__(self, rate: float = 10.0) -> None:
            self.rate, self.calibration = rate, None

        def render(self, index: int):
            return replace(fake_frames(1)[0], stamp=round(index * 1e9 / self.rate))

    fake = SimpleNamespace(VirtualEndoscope=Endoscope)
    monkeypatch.setitem(sys.modules, 'surgseg_ros.simulation', fake)
    source = open_source('simulator:rate=20.0')
    assert source.describe() == 'virtual endoscope: endless, 20 Hz, not calibrated'
    with pytest.raises(ValueError, match='endless: say how many frames'):
        source.first(None)
    assert [frame.stamp for frame in source.first(2)] == [FIRST_STAMP, FIRST_STAMP + 50_000_000]


# What is no source.


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(ValueError, match=r'notes.txt is no source of stereo frames; expected'):
        open_source(tmp_path / 'notes.txt')
    with pytest.raises(FileNotFoundError, match="nowhere is not there; a source is 'sim'"):
        open_source(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='left is not there'):
        open_source(tmp_path)
    with pytest.raises(FileNotFoundError, match='/b is not there'):
        (tmp_path / 'a').mkdir()
        save_rgb(tmp_path / 'a/0.png', fake_frames(1)[0].left)
        open_source(f'{tmp_path}/a,{tmp_path}/b')


def test_options_of_another_kind_of_source(images: Path) -> None:
    with pytest.raises(ValueError, match='stacking cannot be given .*: calibration, rate, disp'):
        open_source(images, stacking='vertical')


# Folders as people have them, and sizes that disagree.


def test_hidden_files_and_commas(tmp_path: Path) -> None:
    folder = tmp_path / 'Patient 7, left'
    for index in range(2):
        save_rgb(folder / f'{index}.png', fake_frames(1)[0].left)
        (folder / f'._{index}.png').write_bytes(b'\0\5\x16\7')
    with open_left(folder) as source:
        assert len(list(source)) == 2


def test_one_frame_of_another_size(images: Path) -> None:
    save_rgb(images / 'right/frame7.png', np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(ValueError, match='frame 7 of images .*: left is 64x48, right is 32x24'):
        list(open_source(images))
    save_rgb(images / 'left/frame7.png', np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(ValueError, match='frame 7 .* images of size 32x24, .* the size 64x48'):
        list(open_source(images, calibration=fake_calibration()))


def test_rectified_already(images: Path, tmp_path: Path) -> None:
    own = fake_calibration()
    raw = replace(own, left=replace(own.left, D=np.array([0.1, 0, 0, 0, 0])))
    write_camera_info(raw, tmp_path / 'raw')
    source = open_source(images, calibration=tmp_path / 'raw', rectified=True)
    assert not source.calibration.left.D.any()
    assert next(iter(source)).calibration is source.calibration


@pytest.mark.parametrize(
    ('shape', 'left_only', 'words'),
    [
        ((48, 128), True, 'both eyes side by side, told from its shape'),
        ((96, 64), True, 'one eye, told from its shape'),
        ((96, 64), False, 'left above right eye, told from its shape'),
        ((48, 64), True, 'one eye, told'),
    ],
)
def test_how_the_eyes_lie_is_said(tmp_path: Path, shape, left_only: bool, words: str) -> None:
    path = tmp_path / 'v.avi'
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 25, shape[::-1])
    video.write(np.zeros((*shape, 3), np.uint8))
    video.release()
    source = (open_left if left_only else open_source)(path)
    assert words in source.describe()
    assert 'one eye)' in open_left(path, stacking='mono').describe()
    assert next(iter(open_left(path, stacking='mono'))).left.shape[:2] == shape


def test_an_early_end_of_a_video_is_said_once(tmp_path: Path, caplog) -> None:
    save_video(tmp_path / 'v.avi', 1)
    raw = (tmp_path / 'v.avi').read_bytes()
    (tmp_path / 'v.avi').write_bytes(raw[: raw.rindex(b'00dc', 0, raw.rindex(b'idx1'))])
    source = open_source(tmp_path / 'v.avi')
    for _ in range(2):
        count = len(list(source))
    assert count == 4
    assert [record.message for record in caplog.records] == source.notes
    assert f'v.avi ended after {count} of 5 frames' in source.notes[0] and len(source.notes) == 1
