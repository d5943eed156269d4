"""surgseg infer semantic: sources, files, lists, videos, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from golden_recipe import fill_network
from surgseg_infer import NAMES, SIZE, Infer, by_torch, files, read, write_images

from surgseg_ros import networks, predictors

torch = pytest.importorskip('torch', reason='networks need torch')

infer = Infer('semantic')


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('weights') / 'lwanet.pt'
    torch.save(fill_network(networks.create('lwanet')).state_dict(), path)
    return path


@pytest.fixture
def network(weights: Path) -> list[str]:
    return by_torch(weights)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / 'in')


def expected(weights: Path, image: Path) -> np.ndarray:
    predictor = predictors.create('lwanet', weights=weights, backend='torch', device='cpu')
    return predictor.predict(read(image)[..., ::-1].copy()).labels


def test_a_folder_of_one_eye_gives_labels_and_overlays(
    folder: Path,
    tmp_path: Path,
    weights: Path,
    network: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'out'
    assert infer(folder, '--out', out, '--overlay', *network) == 0
    assert files(out) == sorted(
        f'{kind}/{name}.png' for kind in ('segmentation', 'overlay') for name in NAMES
    )
    for name in NAMES:
        labels = read(out / f'segmentation/{name}.png')
        np.testing.assert_array_equal(labels, expected(weights, folder / f'{name}.png'))
        assert read(out / f'overlay/{name}.png').shape == (*SIZE, 3)
    printed = capsys.readouterr().out
    assert '3 frames in' in printed
    shares = [float(line.split()[-2]) for line in printed.splitlines() if line.endswith('%')]
    assert len(shares) == len(networks.spec('lwanet').class_names)
    assert sum(shares) == pytest.approx(100, abs=0.05)


def test_of_a_stereo_source_the_left_image_is_taken(
    folder: Path, tmp_path: Path, weights: Path, network: list[str]
) -> None:
    one, other = folder / 'a2.png', folder / 'a9.png'
    assert infer(f'{one},{other}', '--out', tmp_path / 'out', *network) == 0
    np.testing.assert_array_equal(
        read(tmp_path / 'out/segmentation/a2.png'), expected(weights, one)
    )


@pytest.mark.parametrize(
    ('stack', 'arguments'),
    [
        (np.array, ()),
        (lambda image: np.hstack([image, image]), ()),
        (lambda image: np.vstack([image, image]), ('--stacking', 'vertical')),
        (lambda image: np.hstack([image[:, :60], image[:, 36:]]), ('--stacking', 'horizontal')),
    ],
    ids=['mono', 'horizontal', 'vertical', 'said'],
)
def test_video_in_and_out(
    folder: Path, tmp_path: Path, network: list[str], stack, arguments: tuple[str, ...]
) -> None:
    frames = [stack(read(folder / f'{name}.png')) for name in NAMES]
    size = frames[0].shape[1], frames[0].shape[0]
    writer = cv2.VideoWriter(str(tmp_path / 'in.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 12.0, size)
    for frame in frames:
        writer.write(frame)
    writer.release()
    out = tmp_path / 'out.mp4'
    assert infer(tmp_path / 'in.avi', '--video', out, *arguments, *network) == 0
    video = cv2.VideoCapture(str(out))
    pictures = [video.read()[1] for _ in range(3)]
    assert not video.read()[0]
    width = 60 if 'horizontal' in arguments else SIZE[1]
    assert all(picture.shape == (SIZE[0], width, 3) for picture in pictures)


def test_a_list_says_where_labels_go(
    folder: Path, tmp_path: Path, weights: Path, network: list[str]
) -> None:
    (folder / 'list.csv').write_text('left,segmentation\na2.png,labels/two.png\n')
    assert infer(folder / 'list.csv', *network) == 0
    np.testing.assert_array_equal(
        read(folder / 'labels/two.png'), expected(weights, folder / 'a2.png')
    )


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        ([], 'nothing to write: give --out or --video'),
        (['--out', 'x.mp4'], '--out is a folder for files; for a video say --video'),
        (['--video', 'x.png'], 'x.png is no video'),
        (['--video', 'x.mp4', '--overlay'], '--overlay needs --out'),
        (['--out', 'x', '--overlay-opacity', '2'], '--overlay-opacity is 2, expected 0 to 1'),
        (['--out', 'x', '--encode-every', '2'], '--encode-every is for --model surgicalsam'),
        (['--out', 'x', '--weights', 'none.pt'], 'none.pt'),
        (['--out', 'x', '--model', 'surgicalsam'], 'surgicalsam needs weights'),
        (['--out', 'x', '--class-names', 'a', 'b'], 'does not fit lwanet'),
    ],
)
def test_what_cannot_be_is_refused(
    folder: Path,
    tmp_path: Path,
    network: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    given = [] if '--weights' in arguments or 'surgicalsam' in arguments else network
    assert sentence in infer.refused(capsys, folder, *given, *arguments)
    assert files(tmp_path) == before
