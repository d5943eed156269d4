"""Names from files lead to no file outside of the folder that results go to."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from surgseg_ros.cli import main
from surgseg_ros.commands.destinations import Destinations
from surgseg_ros.media.files import below
from surgseg_ros.sources import CsvSource, FolderSource

PICTURE = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of a stranger with a pair of images, beside a picture that is precious."""
    folder = tmp_path / 'data'
    folder.mkdir()
    for name in ('left.png', 'right.png'):
        cv2.imwrite(str(folder / name), PICTURE)
    (tmp_path / 'precious').mkdir()
    cv2.imwrite(str(tmp_path / 'precious' / 'a.png'), PICTURE + 7)
    return folder


def listed(folder: Path, disparity: str) -> Path:
    (folder / 'list.csv').write_text(f'left,right,disparity\nleft.png,right.png,{disparity}\n')
    return folder / 'list.csv'


@pytest.mark.parametrize(
    'name',
    ['../precious/a.png', 'ABSOLUTE/precious/a.png', 'link/a.png', 'a.png', 'b/../../x.png'],
)
@pytest.mark.parametrize('out', [True, False])
def test_infer_writes_below_its_folder(
    data: Path, name: str, out: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts of names that go up, absolute ones, a link to a folder, a link to a file."""
    folder = data.parent / 'out' if out else data
    folder.mkdir(exist_ok=True)
    (folder / 'link').symlink_to(data.parent / 'precious')
    (folder / 'a.png').symlink_to(data.parent / 'precious' / 'a.png')
    path = listed(data, name.replace('ABSOLUTE', str(data.parent)))
    words = [
        'infer',
        'stereo',
        '--model',
        'sgbm',
        str(path),
        *(['--out', str(folder)] if out else []),
    ]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'would be written outside of' in line
    assert (cv2.imread(str(data.parent / 'precious' / 'a.png')) == 7).all()
    assert not (data.parent / 'x.png').exists()


def test_a_link_in_the_place_of_a_kind_of_results(data: Path, tmp_path: Path) -> None:
    """Without a list, too: the folder `disparity` may be a link."""
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'disparity').symlink_to(tmp_path / 'precious')
    source = FolderSource(data / 'left.png', data / 'right.png')
    with pytest.raises(ValueError, match='would be written outside of'):
        Destinations(source, tmp_path / 'out', {'disparity': '.png'}, 1)


def test_what_is_below_is_allowed(data: Path) -> None:
    path = listed(data, 'disparity/../disparity/0.png')
    source = CsvSource(path, columns=('left', 'right', 'disparity'))
    places = Destinations(source, None, {'disparity': '.png'}, 1)
    assert places.paths(0)['disparity'].resolve() == data.resolve() / 'disparity' / '0.png'


def test_names_with_control_characters_are_refused(data: Path) -> None:
    for name in ('a\x1b[2J.png', 'a\0.png', 'a\u202egnp.png'):
        with pytest.raises(ValueError, match='control characters'):
            CsvSource(listed(data, name))


def test_names_of_datasets_stay_in_the_cache(tmp_path: Path) -> None:
    assert below(tmp_path, 'sequence/frame.npz') == tmp_path / 'sequence' / 'frame.npz'
    for name in ('../frame.npz', '/frame.npz'):
        with pytest.raises(ValueError, match='would be written outside of'):
            below(tmp_path, name)
