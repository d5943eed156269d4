"""A user's own folders: every way in which labels are written, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import cv2
import layouts
import numpy as np
import pytest
from PIL import Image

from surgseg_ros import cli
from surgseg_ros.datasets import open_dataset

SIZE = (30, 40)
LABELS = np.zeros(SIZE, np.uint8)
LABELS[:, 10:20], LABELS[:, 20:22], LABELS[:5] = 1, 2, 255
NAMES = ['background', 'hook', 'clip']


def folder(root: Path, labels: Any = LABELS, names: tuple[str, ...] = ('a', 'b')) -> Path:
    for number, name in enumerate(names):
        layouts.write(root / 'images' / f'{name}.jpg', layouts.image(SIZE, 40 + 20 * number))
        if isinstance(labels, Image.Image):
            (root / 'labels' / name).parent.mkdir(parents=True, exist_ok=True)
            labels.save(root / 'labels' / f'{name}.png')
        else:
            layouts.write(root / 'labels' / f'{name}.png', labels)
    return root


def opened(root: Path, split: str = 'train', **options: Any) -> Any:
    return open_dataset('folder', root, split, **options)


def palette() -> Image.Image:
    image = Image.fromarray(LABELS, 'P')
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0] + [0] * 756 + [255, 255, 255])
    return image


def colours() -> np.ndarray:
    """Class 1 red, class 2 green, unlabelled white; BGR as OpenCV writes."""
    table = np.zeros((256, 3), np.uint8)
    table[1], table[2], table[255] = (0, 0, 200), (0, 200, 0), (255, 255, 255)
    return table[LABELS]


IDS = {'background': 0, 'clip': 20, 'hook': 10}
BY_COLOUR = {'background': [0, 0, 0], 'hook': [200, 0, 0], 'clip': [0, 200, 0]}


@pytest.mark.parametrize(
    ('labels', 'classes'),
    [
        (LABELS, NAMES),
        (LABELS.astype(np.uint16), NAMES),
        (np.repeat(LABELS[..., None], 3, axis=2), NAMES),
        (palette(), NAMES),
        (np.where(LABELS == 255, 255, 10 * LABELS).astype(np.uint8), IDS),
        (np.where(LABELS == 255, 255, 10 * LABELS).astype(np.uint16), IDS),
        (np.where(LABELS[..., None] == 255, 0, colours()), BY_COLOUR),
    ],
    ids=['8 bits', '16 bits', 'grey as colours', 'palette', 'ids', 'ids of 16 bits', 'colours'],
)
@pytest.mark.parametrize('way', ['option', 'json'])
def test_labels_as_people_write_them(tmp_path: Path, labels: Any, classes: Any, way: str) -> None:
    folder(tmp_path, labels)
    if way == 'json':
        (tmp_path / 'classes.json').write_text(json.dumps(classes))
    dataset = opened(tmp_path, **({'classes': classes} if way == 'option' else {}))
    assert dataset.class_names == tuple(NAMES) and len(dataset) == 1
    expected = np.where(LABELS == 255, 0, LABELS) if classes is BY_COLOUR else LABELS
    np.testing.assert_array_equal(dataset[0].labels, expected)


def test_names_in_a_text_file_and_none_at_all(tmp_path: Path) -> None:
    folder(tmp_path)
    dataset = opened(tmp_path)
    assert dataset.class_names == ('background', 'tool')
    np.testing.assert_array_equal(np.unique(dataset[0].labels), [0, 1, 255])
    (tmp_path / 'classes.txt').write_text('background\nhook\nclip\n')
    assert opened(tmp_path).class_names == tuple(NAMES)


def test_splits_by_fraction_file_and_folder(tmp_path: Path) -> None:
    names = tuple(f'case_{number // 5}/{number}' for number in range(10))
    folder(tmp_path / 'whole', names=names)
    train, val = (opened(tmp_path / 'whole', split) for split in ('train', 'val'))
    assert (len(train), len(val)) == (8, 2)
    found = [one.name(i) for one in (train, val) for i in range(len(one))]
    assert sorted(found) == sorted(names)
    assert len(opened(tmp_path / 'whole', 'val', val_fraction=0.5)) == 5
    (tmp_path / 'whole/val.txt').write_text('case_0\\1.jpg\n\ncase_1/7\n')
    listed = opened(tmp_path / 'whole', 'val')
    assert [listed.name(i) for i in range(2)] == ['case_0/1', 'case_1/7']
    for split, some in (('train', names[:3]), ('val', names[3:5])):
        folder(tmp_path / 'split' / split, names=some)
        assert len(opened(tmp_path / 'split', split)) == len(some)


@pytest.mark.parametrize(
    ('labels', 'options', 'sentence'),
    [
        (LABELS, {'classes': ['background', 'hook']}, 'a.png has label 2, expected class ids'),
        (
            LABELS.astype(np.uint16) + 300,
            {'classes': NAMES},
            'a.png has label 555, expected class',
        ),
        (colours(), {'classes': NAMES}, r'a.png is in colours \(RGB\), expected a class id'),
        (colours(), {'classes': BY_COLOUR}, r'colour \[255, 255, 255\], which no class has'),
        (LABELS, {'classes': {'background': 0, 'hook': 1}}, 'a.png has label 2, which no class'),
        (LABELS, {'classes': {'a': [1, 2]}}, r'expected an id or \[r, g, b\] for each name'),
        (LABELS, {'classes': ['background']}, 'has 1 names, expected the background and more'),
        (LABELS[:20], {}, 'the labels of a are 40x20, its image 40x30'),
        (LABELS, {'val_fraction': 2}, 'val_fraction is 2, expected 0 to less than 1'),
    ],
)
def test_what_is_wrong_is_said_with_file_and_value(
    tmp_path: Path, labels: np.ndarray, options: dict[str, Any], sentence: str
) -> None:
    folder(tmp_path, labels)
    with pytest.raises(ValueError, match=sentence) as error:
        opened(tmp_path, 'val', **options)[0]
    assert '\n' not in str(error.value)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'expected images/NAME.jpg \(or .png\) and labels/NAME'):
        opened(tmp_path)
    folder(tmp_path)
    (tmp_path / 'labels/b.png').unlink()
    with pytest.raises(ValueError, match=r'labels has no b.png; .*labels has a.png'):
        opened(tmp_path)
    (tmp_path / 'val.txt').write_text('c\n')
    with pytest.raises(ValueError, match='val.txt names c, which .*images does not have'):
        opened(tmp_path, 'val')
    with pytest.raises(ValueError, match='has no test split: expected test/ or test.txt'):
        opened(tmp_path, 'test')


@pytest.mark.parametrize('suffix', ['.png', '.tiff', '.npy'])
def test_stereo_pairs_with_disparity(tmp_path: Path, suffix: str) -> None:
    truth = np.full(SIZE, 3.5, np.float32)
    truth[0] = 0
    for name in ('a', 'b', 'seq/c'):
        for side, value in (('left', 50), ('right', 90)):
            layouts.write(tmp_path / side / f'{name}.png', layouts.image(SIZE, value))
        path = tmp_path / 'disparity' / f'{name}{suffix}'
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == '.npy':
            np.save(path, truth)
        else:
            values = (128 * truth).astype(np.uint16) if suffix == '.png' else truth
            cv2.imwrite(str(path), values)
    dataset = open_dataset('folder', tmp_path, 'train', 'stereo', val_fraction=0)
    assert [dataset[i].name for i in range(len(dataset))] == ['a', 'b', 'seq/c']
    sample = dataset[2]
    assert (sample.left[0, 0, 2], sample.right[0, 0, 2]) == (50, 90)
    assert np.isnan(sample.disparity[0]).all() and (sample.disparity[1:] == 3.5).all()
    (tmp_path / 'right/b.png').unlink()
    with pytest.raises(ValueError, match='right has no b.png'):
        open_dataset('folder', tmp_path, 'train', 'stereo')


def test_check_says_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / 'mine', names=('a', 'b', 'c', 'd', 'e'))
    words = ['datasets', 'check', str(tmp_path / 'mine'), '--out', str(tmp_path / 'out')]
    assert cli.main([*words, '--option', f'classes={NAMES}']) == 0
    said = capsys.readouterr().out
    assert 'train: 4 images' in said and 'val: 1 images' in said
    assert f'{100 * 10 * 25 / 1200:.2f} % of the pixels, in 4 images' in said.split('hook')[1]
    assert len(list((tmp_path / 'out').glob('train_*.png'))) == 3
    layouts.write(tmp_path / 'mine/labels/c.png', np.full(SIZE, 7, np.uint8))
    assert cli.main([*words, '--option', f'classes={NAMES}']) == 2
    assert 'c.png has label 7, expected class ids 0 to 2' in capsys.readouterr().err
