"""surgseg infer stereo: sources, files, lists, videos, and what is refused."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from golden_recipe import fill_network, stereo_pair, texture
from surgseg_infer import Infer, by_torch, files, read
from synthetic_stereo import extrinsics, raw_calibration, raw_views_of_plane

from surgseg_ros import networks, predictors
from surgseg_ros.geometry.calibration_files import read_calibration, write_camera_info
from surgseg_ros.media.video_reader import VideoReader

REPOSITORY = Path(__file__).resolve().parents[2]
SHIFT = 12  # px, disparity of the textured plane
infer = Infer('stereo')


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip('torch')
    path = tmp_path_factory.mktemp('weights') / 'light.pt'
    torch.save(fill_network(networks.create('msdesis_light')).state_dict(), path)
    return path


@pytest.fixture
def network(weights: Path) -> list[str]:
    return ['--model', 'msdesis_light', *by_torch(weights)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs of a textured plane."""
    for name in ('frame2', 'frame9', 'frame10'):
        image = cv2.GaussianBlur(texture(name, 96, 240 + SHIFT), (0, 0), 1.0)
        for eye, pixels in (('left', image[:, :240]), ('right', image[:, SHIFT:])):
            (tmp_path / 'in' / eye).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(tmp_path / 'in' / eye / f'{name}.png'), pixels)
    return tmp_path / 'in'


def expected(weights: Path, folder: Path, name: str, **options: object):
    pair = [cv2.imread(str(folder / eye / name))[..., ::-1].copy() for eye in ('left', 'right')]
    predictor = predictors.create(
        'msdesis_light', weights=weights, backend='torch', device='cpu', **options
    )
    return predictor.predict(*pair)


@pytest.mark.parametrize('mode', ['multitask', 'disparity', 'segmentation'])
def test_network_writes_what_the_predictor_finds(
    folder: Path, tmp_path: Path, weights: Path, network: list[str], mode: str
) -> None:
    out = tmp_path / 'out'
    assert infer(folder, '--out', out, '--mode', mode, '--threshold', 0.7, *network) == 0
    kinds = ['disparity', 'segmentation'] if mode == 'multitask' else [mode]
    suffix = {'disparity': 'tiff', 'segmentation': 'png'}
    assert files(out) == sorted(
        f'{kind}/frame{n}.{suffix[kind]}' for kind in kinds for n in (2, 9, 10)
    )
    result = expected(weights, folder, 'frame10.png', mode=mode, threshold=0.7)
    if 'disparity' in kinds:
        np.testing.assert_array_equal(read(out / 'disparity/frame10.tiff'), result.disparity)
    if 'segmentation' in kinds:
        mask = read(out / 'segmentation/frame10.png')
        assert set(np.unique(mask)) == {0, 255}
        np.testing.assert_array_equal(mask > 0, result.tool_mask > 0)


def test_png_is_rounded_and_scaled(folder: Path, tmp_path: Path) -> None:
    assert infer(folder, '--out', tmp_path / 'a') == 0
    assert infer(folder, '--out', tmp_path / 'b', '--disparity-format', 'png') == 0
    exact = read(tmp_path / 'a/disparity/frame2.tiff')
    stored = read(tmp_path / 'b/disparity/frame2.png')
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored == 0, np.isnan(exact))
    known = stored > 0
    assert np.abs(stored[known] / 128 - exact[known]).max() <= 0.5 / 128
    assert np.median(stored[known]) / 128 == pytest.approx(SHIFT, abs=0.2)


def test_overflow_is_refused_with_the_scale_that_fits(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        f'{folder}/left/frame2.png,{folder}/right/frame2.png',
        '--out',
        tmp_path / 'o',
        '--disparity-format',
        'png',
        '--disparity-scale',
    ]
    sentence = infer.refused(capsys, *arguments, 20000)
    assert 'does not fit into 16 bits' in sentence
    assert files(tmp_path / 'o') == []
    most = re.search(r'--disparity-scale may be ([\d.]+) at most', sentence)
    assert most
    assert infer(*arguments, most[1]) == 0
    assert 60000 < read(tmp_path / 'o/disparity/frame2.png').max() <= 65535
    assert infer(*arguments, float(most[1]) * 1.01) == 2


PAIRS = [('left/frame2.png', 'right/frame2.png'), ('left/frame9.png', 'right/frame9.png')]


def published(folder: Path) -> str:
    """What create_io_csv writes: with a header, segmentation before disparity."""
    lines = [f'{left},{right},s/{i}.png,d/{i}.png' for i, (left, right) in enumerate(PAIRS)]
    return '\n'.join(['left,right,segmentation,disparity', *lines]) + '\n'


def bare(folder: Path) -> str:
    """What inference_csv reads."""
    return '\n'.join(
        f'{folder / left},{folder / right},d/{i}.png,s/{i}.png'
        for i, (left, right) in enumerate(PAIRS)
    )


@pytest.mark.parametrize('content', [published, bare])
def test_list(
    folder: Path, tmp_path: Path, weights: Path, network: list[str], content: Callable[[Path], str]
) -> None:
    (folder / 'list.csv').write_text(content(folder))
    out = tmp_path / 'out'
    assert infer(folder / 'list.csv', '--out', out, *network) == 0
    assert files(out) == ['d/0.png', 'd/1.png', 's/0.png', 's/1.png']
    result = expected(weights, folder, 'frame9.png')
    np.testing.assert_array_equal(read(out / 's/1.png') > 0, result.tool_mask > 0)
    disparity = read(out / 'd/1.png')
    assert disparity.dtype == np.uint16
    np.testing.assert_allclose(disparity, np.nan_to_num(result.disparity * 128), atol=1.01)


def test_list_needs_only_the_columns_of_the_mode(
    folder: Path,
    tmp_path: Path,
    weights: Path,
    network: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = folder / 'list.csv'
    path.write_text('segmentation,left\nmask.png,left/frame2.png\n')
    assert infer(path, '--mode', 'segmentation', *network) == 0
    mask = expected(weights, folder, 'frame2.png', mode='segmentation').tool_mask
    np.testing.assert_array_equal(read(folder / 'mask.png') > 0, mask > 0)
    assert 'has no column right, disparity; it has segmentation, left' in infer.refused(
        capsys, path, *network
    )


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        ('left,rigth,disparity\n', "column 2 of LIST is called 'rigth', expected left, right"),
        ('l,r,d,s\na.png,b.png,c.png,d.png\n', 'the first line of LIST (l, r, d, s) is neither'),
        ('left,right,right\n', "LIST has two columns called 'right'"),
        ('left,right,disparity\n', 'LIST has a header and no images'),
        ('', 'LIST is empty'),
        (
            'left/frame2.png,right/frame2.png\n',
            'LIST has no column disparity; it has left, right ',
        ),
        (
            'left,right,disparity\nleft/frame2.png,right/frame2.png\n',
            'line 2 of LIST has 2 columns',
        ),
        ('left,right,disparity\nleft/frame2.png,,d.png\n', 'line 2 of LIST has no right'),
        (
            'right/frame2.png,left/frame2.png,d.png\n',
            'line 1 of LIST has right/frame2.png as left',
        ),
        (
            'left/frame2.png,right/frame2.png,segmentation/a.png,disparity/a.png\n',
            'disparity/a.png as segmentation: the columns are swapped',
        ),
        (
            'd.png,s.png,left/frame2.png,right/frame2.png\n',
            'line 1 of LIST: there is no left image',
        ),
        (
            'left,right,disparity\nleft/frame2.png,right/frame2.png,left/frame2.png\n',
            'left/frame2.png would be the disparity of frame 0 and is an image of the list',
        ),
        (
            'left,right,disparity\nleft/frame2.png,right/frame2.png,d.jpg\n',
            'd.jpg, expected a name ending in .tiff or .tif or .png',
        ),
        (
            'left,right,disparity\n' + 2 * 'left/frame2.png,right/frame2.png,d.png\n',
            'd.png would be the disparity of frame 1 and is the disparity of frame 0',
        ),
    ],
)
def test_a_wrong_list_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str, sentence: str
) -> None:
    path = folder / 'list.csv'
    path.write_text(content)
    before = files(folder)
    assert sentence.replace('LIST', str(path)) in infer.refused(capsys, path)
    assert files(folder) == before


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        ([], 'nothing to write: give --out, --video or --render-orbit'),
        (['--out', 'x.mp4'], '--out is a folder for files; for a video say --video'),
        (['--video', 'x.png'], 'x.png is no video, expected a name ending in .mp4'),
        (['--out', 'x', '--cloud'], 'has no calibration, which --cloud needs'),
        (['--video', 'x.mp4', '--cloud'], '--cloud needs --out'),
        (['--render-orbit', 'x.mp4'], 'has no calibration, which --render-orbit needs'),
        (['--out', 'x', '--orbit-frame', '0'], '--orbit-frame needs --render-orbit'),
        (['--out', 'x', '--alpha', '0'], '--alpha rectifies raw images'),
        (['--out', 'x', '--model', 'msdesis_light'], 'msdesis_light needs weights'),
        (['--out', 'x', '--mode', 'segmentation'], "mode='segmentation' makes no sense"),
        (['--out', 'x', '--scale', '2'], 'scale is 2, expected'),
        (['--out', 'x', '--root', 'y'], 'root cannot be given with'),
        (['--video', 'x.mp4', '--render-orbit', './x.mp4'], 'must be different files'),
        (['--out', 'x', '--disparity-scale', '0'], '--disparity-scale must be positive'),
    ],
)
def test_what_cannot_be_is_refused(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    assert sentence in infer.refused(capsys, folder, *arguments)
    assert files(tmp_path) == before


def test_two_images_of_one_name_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for eye in ('left', 'right'):
        cv2.imwrite(str(folder / eye / 'frame2.bmp'), read(folder / eye / 'frame2.png'))
    assert 'frame2.tiff would be the disparity of frame 1 and is' in infer.refused(
        capsys, folder, '--out', tmp_path / 'out'
    )


def test_a_calibration_as_the_published_scripts_take_it(tmp_path: Path) -> None:
    """OpenCV JSON without the image size."""
    calibration = raw_calibration()
    R, T = extrinsics(calibration)
    storage = cv2.FileStorage(str(tmp_path / 'stereo.json'), cv2.FILE_STORAGE_WRITE)
    for name, matrix in {
        'K1': calibration.left.K,
        'D1': calibration.left.D.reshape(1, -1),
        'K2': calibration.right.K,
        'D2': calibration.right.D.reshape(1, -1),
        'R': R,
        'T': T.reshape(3, 1),
    }.items():
        storage.write(name, matrix)
    storage.release()
    found = read_calibration(tmp_path / 'stereo.json', size=(640, 512))
    np.testing.assert_allclose(found.right.P, calibration.right.P, atol=1e-9)
    np.testing.assert_allclose(found.left.R, calibration.left.R, atol=1e-12)


@pytest.mark.parametrize('stacking', ['horizontal', 'vertical'])
def test_video_in_and_out(folder: Path, tmp_path: Path, network: list[str], stacking: str) -> None:
    stack = np.hstack if stacking == 'horizontal' else np.vstack
    pairs = [
        stack([read(folder / eye / f'frame{n}.png') for eye in ('left', 'right')])
        for n in (2, 9, 10)
    ]
    size = pairs[0].shape[1], pairs[0].shape[0]
    writer = cv2.VideoWriter(str(tmp_path / 'in.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 12.0, size)
    for pair in pairs:
        writer.write(pair)
    writer.release()
    out = tmp_path / 'out.mp4'
    arguments = [tmp_path / 'in.avi', '--stacking', stacking, '--video', out]
    assert infer(*arguments, *network) == 0
    video = cv2.VideoCapture(str(out))
    assert video.get(cv2.CAP_PROP_FPS) == 12
    pictures = [video.read()[1] for _ in range(3)]
    assert not video.read()[0]
    assert pictures[2].shape == (96, 480, 3)
    left = read(folder / 'left/frame10.png')
    assert np.abs(pictures[2][:, :240].astype(int) - left).mean() < 12  # lossy twice
    assert files(tmp_path) == sorted(
        [
            'in.avi',
            'out.mp4',
            *(f'in/{eye}/frame{n}.png' for eye in ('left', 'right') for n in (2, 9, 10)),
        ]
    )


def test_ctrl_c_leaves_whole_files(tmp_path: Path) -> None:
    left, right = stereo_pair('slow', 512, 640)
    for name in range(200):
        for eye, pixels in (('left', left), ('right', right)):
            (tmp_path / eye).mkdir(exist_ok=True)
            if name == 0:
                cv2.imwrite(str(tmp_path / eye / '0.png'), pixels)
            else:
                (tmp_path / eye / f'{name}.png').symlink_to(tmp_path / eye / '0.png')
    out = tmp_path / 'out'
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'surgseg_ros.cli',
            'infer',
            'stereo',
            str(tmp_path),
            '--out',
            str(out),
            '--disparity-format',
            'png',
            '--video',
            str(tmp_path / 'v.mp4'),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(list(out.rglob('*.png'))) < 5:  # the video may be one behind
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    written = list(out.rglob('*'))
    assert 4 <= len(written) - 1 < 200
    assert all(read(path).shape == (512, 640) for path in written if path.is_file())
    video = VideoReader(tmp_path / 'v.partial.mp4')  # not whole, so not called as it should be
    assert 4 <= len(list(video)) < 200
    assert not (tmp_path / 'v.mp4').exists() and not list(tmp_path.rglob('.*partial*'))


def test_rows_of_the_first_frame_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Raw eyes a degree apart: far off as they are, close once their calibration is given."""
    calibration = raw_calibration()
    for eye, image in zip(('left', 'right'), raw_views_of_plane(calibration), strict=True):
        (tmp_path / eye).mkdir()
        cv2.imwrite(str(tmp_path / eye / '0.png'), image)
        cv2.imwrite(str(tmp_path / eye / '1.png'), image)
    write_camera_info(calibration, tmp_path / 'calibration')
    apart = []
    for more in ((), ('--calibration', tmp_path / 'calibration')):
        assert infer(tmp_path, '--out', tmp_path / 'out', *more) == 0
        [rows] = re.findall(r'rows (\d+\.\d\d) px apart \(\d+ matches\)', capsys.readouterr().out)
        apart.append(float(rows))
    assert apart[0] > 3 and apart[1] < 0.2


def test_real_calibrations_are_doubted(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dvrk = shared_data / 'calib/dvrk'
    left, right = (dvrk / f'vu-arma_stereo_cam{n}_calibration_640x480.yaml' for n in (0, 1))
    image = np.zeros((480, 640), np.uint8)
    for eye in ('left', 'right'):
        (tmp_path / eye).mkdir()
        cv2.imwrite(str(tmp_path / eye / '0.png'), image)
    out = tmp_path / 'out'
    assert infer(tmp_path, '--out', out, '--calibration', f'{left},{right}') == 0
    said = capsys.readouterr().out
    assert 'the baseline is 62 mm' in said and 'rows of left and right: not measured' in said
    assert 'there is no baseline' in infer.refused(
        capsys, tmp_path, '--out', out, '--cloud', '--calibration', f'{right},{left}'
    )


def test_real_video_rectified_without_borders(shared_data: Path, tmp_path: Path) -> None:
    """alpha 0 leaves no black border, alpha 1 a wide one."""
    data = shared_data / 'stereo_surgt'
    dark = {}
    for alpha in ('0', '1'):
        out = tmp_path / f'{alpha}.avi'
        assert (
            infer(
                data / 'video.mp4',
                '--calibration',
                data / 'calibration.yaml',
                '--frames',
                1,
                '--alpha',
                alpha,
                '--video',
                out,
                '--scale',
                0.5,
            )
            == 0
        )
        picture = cv2.VideoCapture(str(out)).read()[1]
        assert picture.shape == (1024, 2560, 3)
        rim = np.concatenate([picture[:20, :1280], picture[-20:, :1280]], axis=1).max(axis=2)
        dark[alpha] = (rim < 8).mean()
    assert dark['0'] < 0.02 < 0.2 < dark['1']
