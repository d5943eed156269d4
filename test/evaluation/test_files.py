"""`surgseg evaluate` on files: what protocols print, what is written, what does not fit."""

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from surgseg_ros import cli, predictors
from surgseg_ros.evaluation.tables import Table
from surgseg_ros.media.image_files import read_rgb

SIZE = (40, 64)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.npy':
        np.save(path, pixels)
    else:
        assert cv2.imwrite(str(path), pixels)


def run(task: str, *words: Any) -> int:
    return cli.main(['evaluate', task, *map(str, words)])


def figures(folder: Path, task: str, *words: Any) -> dict[str, Any]:
    """Judge found/ by truth/ of a folder."""
    places = '--pred', folder / 'found', '--truth', folder / 'truth'
    assert run(task, *places, *words, '--json', folder / 'figures.json') == 0
    found: dict[str, Any] = json.loads((folder / 'figures.json').read_text())
    return found


def labels(columns: int, class_id: int = 1) -> np.ndarray:
    image = np.zeros(SIZE, np.uint8)
    image[:, :columns] = class_id
    return image


@pytest.fixture
def label_folders(tmp_path: Path) -> Path:
    """Two datasets: class 1 found by half, an empty frame found empty, class 2 not found."""
    frames = {
        'dataset_1/0': (labels(5), labels(10)),
        'dataset_1/1': (labels(0), labels(0)),
        'dataset_2/0': (labels(0), labels(8, 2)),
    }
    for name, (found, truth) in frames.items():
        write(tmp_path / 'found' / f'{name}.png', found)
        write(tmp_path / 'truth' / f'{name}.png', truth)
    return tmp_path


@pytest.mark.parametrize(
    ('protocol', 'key', 'expected'),
    [
        ('endovis17', 'iou', (1 / 2 + 1 + 0) / 3),
        ('endovis17', 'iou_mean_of_datasets', (3 / 4 + 0) / 2),
        ('endovis18', 'challenge_iou', 25),
        ('endovis18', 'miou', 50),
        ('cata7', 'iou', 1),
        ('cata7', 'iou_with_background', 1 / 4),
        ('ris17', 'iou', (3 / 4 + 0) / 2),
        ('absence', 'iou', 1 / 4),
        ('absence', 'present_missed', 1),
        ('summary', 'mean_iou', 1 / 4),
    ],
)
def test_labels_by_protocol(
    label_folders: Path, capsys: pytest.CaptureFixture[str], protocol: str, key: str, expected: Any
) -> None:
    words = '--protocol', protocol, '--num-classes', '3'
    found = figures(label_folders, 'segmentation', *words)
    assert found['protocol'] == protocol and found['frames'] == 3
    assert found[key] == pytest.approx(expected, abs=1e-5)
    assert f'protocol {protocol}: {found["definition"]}' in capsys.readouterr().out


def test_csv_and_latex_state_the_protocol(label_folders: Path) -> None:
    out = label_folders / 'table'
    written = '--csv', out / 't.csv', '--latex', out / 't.tex'
    found = figures(label_folders, 'segmentation', '--protocol', 'endovis17', *written)
    rows = list(csv.DictReader((out / 't.csv').open()))
    assert {row['protocol'] for row in rows} == {'endovis17'}
    by_name = {row['name']: row for row in rows}
    assert float(by_name['mean']['IoU %']) == pytest.approx(100 * found['iou'])
    assert float(by_name['datasets dataset_1']['IoU %']) == pytest.approx(75)
    latex = (out / 't.tex').read_text()
    assert r'endovis17 & IoU \% & Dice \%' in latex and latex.count(r'\\') == len(rows) + 1
    assert r'dataset\_1' in latex


def test_the_number_of_classes_may_leave_the_background_out(label_folders: Path) -> None:
    for number in (2, 3):
        found = figures(label_folders, 'segmentation', '--num-classes', number)
        assert list(found['classes']) == ['background', 'class 1', 'class 2']
    write(label_folders / 'found/dataset_1/0.png', labels(5, 7))
    words = '--pred', label_folders / 'found', '--truth', label_folders / 'truth'
    assert run('segmentation', *words, '--num-classes', 3) == 2


def test_two_files_are_a_pair(label_folders: Path) -> None:
    found, truth = (label_folders / side / 'dataset_1/0.png' for side in ('found', 'truth'))
    words = '--pred', found, '--truth', truth
    assert run('segmentation', *words, '--json', label_folders / 'one.json') == 0
    assert json.loads((label_folders / 'one.json').read_text())['classes']['class 1']['iou'] == 0.5


def stereo(folder: Path, found: np.ndarray, truth: np.ndarray, suffix: str = '.npy') -> Path:
    for name, values in (('found', found), ('truth', truth)):
        if suffix == '.png':
            values = np.nan_to_num(128 * values).astype(np.uint16)
        write(folder / name / f'0{suffix}', values)
    return folder


@pytest.mark.parametrize('suffix', ['.npy', '.tiff', '.png'])
def test_disparity_in_every_format(tmp_path: Path, suffix: str) -> None:
    """A quarter off by 1, one by 1.5 px; a quarter is a hole; a tenth of the truth unknown."""
    truth = np.full((40, 100), 8, np.float32)
    truth[:, :10] = np.nan
    found = truth.copy()
    found[:10] += 1  # not above 1: no Bad1
    found[10:20] += 1.5
    found[20:30] = np.nan
    judged = figures(stereo(tmp_path, found, truth, suffix), 'stereo')['all']
    assert judged['coverage'] == pytest.approx(75)
    assert judged['epe'] == pytest.approx((1 + 1.5 + 0) / 3)
    assert judged['bad1'] == pytest.approx(100 / 3) and judged['bad2'] == 0
    assert judged['pixels'] == 30 * 90
    zeros = figures(tmp_path, 'stereo', '--protocol', 'holes_as_zero')['all']
    assert zeros['epe'] == pytest.approx((1 + 1.5 + 8 + 0) / 4)
    assert zeros['coverage'] == pytest.approx(75) and zeros['bad3'] == pytest.approx(25)


def test_zero_in_an_array_is_a_value_and_in_a_truth_unknown(tmp_path: Path) -> None:
    truth = np.full(SIZE, 4, np.float32)
    truth[:10] = 0
    judged = figures(stereo(tmp_path, np.zeros(SIZE, np.float32), truth), 'stereo')['all']
    assert (judged['epe'], judged['coverage'], judged['bad3']) == (4, 100, 100)
    assert judged['pixels'] == 30 * 64


def test_scared_loose_means_by_keyframe_and_dataset(tmp_path: Path) -> None:
    """A keyframe of two frames counts as one of one; frames with little truth are skipped."""
    offs = {
        'dataset_8/keyframe_0': (1, 3),
        'dataset_8/keyframe_1': (4,),
        'dataset_9/keyframe_0': (9,),
    }
    for keyframe, errors in offs.items():
        for number, off in enumerate(errors):
            truth = np.full((40, 100), 20, np.float32)
            write(tmp_path / 'truth' / keyframe / f'{number}.npy', truth)
            write(tmp_path / 'found' / keyframe / f'{number}.npy', truth + off)
    sparse = np.zeros((40, 100), np.float32)
    sparse[0] = 20
    for side in ('truth', 'found'):
        write(tmp_path / side / 'dataset_9/keyframe_1/0.npy', sparse)
    judged = figures(tmp_path, 'stereo', '--protocol', 'scared_loose')
    assert judged['all']['epe'] == pytest.approx(((2 + 4) / 2 + 9) / 2)
    assert (judged['frames'], judged['skipped']) == (4, 1)


@pytest.mark.parametrize(
    ('task', 'found', 'truth', 'sentence'),
    [
        ('segmentation', {}, {}, 'expected label images (PNG) in'),
        ('segmentation', {}, {'0.png': labels(3)}, 'has no 0.png, which is in'),
        ('segmentation', {'0.png': labels(3)[:20]}, {'0.png': labels(3)}, '0: the prediction is'),
        ('segmentation', {'0.png': b'x'}, {'0.png': labels(3)}, 'is not an image that OpenCV'),
        ('stereo', {}, {}, 'expected disparity files in'),
        ('stereo', {'0.npy': np.ones(SIZE)}, {'0.npy': np.ones((3, *SIZE))}, 'has the shape'),
        ('stereo', {'0.png': labels(3)}, {'0.npy': np.ones(SIZE)}, 'uint8, expected 16 bits'),
        ('stereo', {'0.npy': b'x'}, {'0.npy': np.ones(SIZE)}, 'is not an array that NumPy can'),
        ('stereo', {'0.npy': np.ones(SIZE)}, {'0.npy': np.zeros(SIZE)}, ''),
        ('tracking', {'0.png': labels(3)[:20]}, {'0.png': labels(3)}, '0: the truth is 64x40 px'),
        ('tracking', {}, {}, 'expected images of track ids in'),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    task: str,
    found: dict[str, Any],
    truth: dict[str, Any],
    sentence: str,
) -> None:
    for side, files in (('found', found), ('truth', truth)):
        (tmp_path / side).mkdir()
        for name, pixels in files.items():
            if isinstance(pixels, bytes):
                (tmp_path / side / name).write_bytes(pixels)
            else:
                write(tmp_path / side / name, pixels)
    code = run(task, '--pred', tmp_path / 'found', '--truth', tmp_path / 'truth')
    said = capsys.readouterr().err.strip()
    assert code == (2 if sentence else 0) and sentence in said
    assert '\n' not in said


def test_tracks_in_files(tmp_path: Path) -> None:
    """Two tools in four frames; the ids are exchanged in the last one."""
    for frame in range(4):
        truth = np.zeros(SIZE, np.uint8)
        truth[5:15, 5:15], truth[20:30, 40:60] = 1, 2
        found = truth if frame < 3 else np.choose(truth, [0, 2, 1]).astype(np.uint8)
        write(tmp_path / 'truth' / f'{frame}.png', truth)
        write(tmp_path / 'found' / f'{frame}.png', 300 * found.astype(np.uint16))
    judged = figures(tmp_path, 'tracking')
    assert (judged['truths'], judged['identity_switches'], judged['misses']) == (8, 2, 0)
    assert judged['mota'] == pytest.approx(1 - 2 / 8)
    assert judged['idf1'] == pytest.approx(6 / 8)
    # every detection is right; of a track, 3 of 4 frames and 1 of 4 share both ids
    assert judged['det_a'] == 1
    right, wrong = 3 / 5, 1 / 7  # TPA / (TPA + FNA + FPA)
    assert judged['ass_a'] == pytest.approx((6 * right + 2 * wrong) / 8)
    assert judged['hota'] == pytest.approx(np.sqrt(judged['ass_a']))


def test_scared_d1k2(shared_data: Path, tmp_path: Path) -> None:
    """A constant, sgbm, and sgbm whose holes are zeros, on a real pair."""
    folder = shared_data / 'stereo_scared_d1k2'
    left, right = (read_rgb(folder / f'd1k2_000000_{side}.png') for side in ('left', 'right'))
    truth = folder / 'd1k2_000000_disparity_left.tiff'
    values = cv2.imread(str(truth), cv2.IMREAD_UNCHANGED)
    median = np.full_like(values, np.median(values[values > 0]))
    matched = predictors.create('sgbm').predict(left, right).disparity
    guesses = {'constant': median, 'sgbm': matched, 'zeros': np.nan_to_num(matched)}
    epe = {}
    for name, guess in guesses.items():
        write(tmp_path / f'{name}.tiff', guess)
        out = tmp_path / f'{name}.json'
        words = '--pred', tmp_path / f'{name}.tiff', '--truth', truth, '--json', out
        assert run('stereo', *words) == 0
        judged = json.loads(out.read_text())['all']
        epe[name] = judged['epe']
        assert judged['coverage'] == pytest.approx(100 if name != 'sgbm' else 96, abs=1)
    assert epe['constant'] == pytest.approx(2.55, abs=0.05)
    assert epe['sgbm'] == pytest.approx(0.35, abs=0.03)
    assert epe['zeros'] > 3 * epe['sgbm']


def test_a_class_name_is_no_command_of_latex_and_forges_no_row() -> None:
    table = Table(
        'IoU', ('mean',), ((r'\input{/etc/passwd} $x$', (0.5,)), ('a\nb\x1b[2J', (1.0,)))
    )
    assert r'\textbackslash{}input\{/etc/passwd\} \$x\$ & 0.50 \\' in table.latex()
    lines = table.text().split('\n')
    assert len(lines) == 3 and lines[2].startswith(r'a\nb\x1b[2J')
