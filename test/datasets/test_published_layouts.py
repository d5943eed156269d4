"""Each dataset on small folders in its published layout, and on real frames where they are."""

import shutil
import subprocess
import sys

import cv2
import layouts
import numpy as np
import pytest

from surgseg_ros import datasets
from surgseg_ros.datasets import endovis17
from surgseg_ros.datasets.endovis17 import EndoVis17, class_id, sequences
from surgseg_ros.datasets.endovis18 import EndoVis18
from surgseg_ros.datasets.prompts import ClassPrompts


def runs(labels):
    """(class id, width) of the runs in the first row."""
    row = labels[0].astype(int)
    edges = np.flatnonzero(np.diff(row)) + 1
    return [(int(part[0]), len(part)) for part in np.split(row, edges)]


def test_importing_pulls_in_neither_torch_nor_rosbags():
    code = (
        'import sys; from surgseg_ros import datasets\n'
        'import surgseg_ros.datasets.simulated, surgseg_ros.datasets.endovis18\n'
        'import surgseg_ros.datasets.cata7, surgseg_ros.datasets.prompts\n'
        'print(*{"torch", "rosbags", "albumentations", "mujoco", "rclpy"} & set(sys.modules))'
    )
    assert (
        subprocess.run(
            [sys.executable, '-c', code], text=True, check=True, capture_output=True
        ).stdout.split()
        == []
    )


# EndoVis 2017


@pytest.fixture(scope='module')
def ev17(tmp_path_factory):
    return layouts.endovis17(tmp_path_factory.mktemp('endovis17'))


@pytest.mark.parametrize(
    ('target', 'expected'),
    [
        ('types', [(2, 8), (0, 12), (3, 4), (0, 6), (7, 3), (0, 7)]),
        ('parts', [(1, 6), (2, 2), (0, 12), (3, 4), (0, 6), (4, 3), (0, 7)]),
        ('binary', [(1, 8), (0, 12), (1, 4), (0, 6), (1, 3), (0, 7)]),
    ],
)
def test_endovis17_combines_the_masks_of_the_instruments(ev17, target, expected):
    dataset = datasets.open_dataset('endovis17', ev17, 'train', target=target)
    assert len(dataset) == 16
    sample = dataset[3]
    assert sample.name == 'instrument_dataset_2/frame001'
    assert sample.image[0, 0].tolist() == [4, 3, 2]  # RGB
    assert sample.labels.dtype == np.uint8 and runs(sample.labels) == expected
    assert dataset.class_names == endovis17.CLASS_NAMES[target]


def test_endovis17_folds():
    for fold, held_out in enumerate([[1, 3], [2, 5], [4, 8], [6, 7]]):
        assert sequences('val', fold) == held_out
        assert sorted(sequences('train', fold) + held_out) == list(range(1, 9))
    assert sequences('train') == list(range(1, 9))
    assert sequences('test') == list(range(1, 11))


def test_endovis17_split_reads_the_sequences_of_its_fold(ev17):
    dataset = EndoVis17(ev17, 'val', fold=2)
    assert [dataset.sequence(index) for index in range(len(dataset))] == [
        'instrument_dataset_4',
        'instrument_dataset_4',
        'instrument_dataset_8',
        'instrument_dataset_8',
    ]


@pytest.mark.parametrize(
    ('folder', 'number'),
    [
        ('Maryland_Bipolar_Forceps_labels', 1),
        ('Bipolar_Forceps_labels', 1),
        ('Left_Prograsp_Forceps_labels', 2),
        ('Large_Needle_Driver_Right_labels', 3),
        ('Vessel_Sealer_labels', 4),
        ('Grasping_Retractor_labels', 5),
        ('Monopolar_Curved_Scissors_labels', 6),
        ('Other_labels', 7),
    ],
)
def test_endovis17_names_of_the_challenges_folders(folder, number):
    assert class_id(folder) == number


@pytest.mark.parametrize(
    ('folder', 'target', 'factor'),
    [
        ('gt/TypeSegmentation', 'types', 1),
        ('ground_truth/types', 'types', 1),
        ('instruments_masks', 'types', 32),
        ('parts_masks', 'parts', 85),
        ('gt/PartsSegmentation', 'parts', 10),
        ('ground_truth/binary', 'binary', 255),
    ],
)
def test_endovis17_one_mask_for_all_instruments(tmp_path, folder, target, factor):
    for number in range(1, 11):
        sequence = tmp_path / 'test' / f'instrument_dataset_{number}'
        layouts.write(sequence / 'images' / 'frame225.jpg', layouts.image())
        values = layouts.mask(slice(0, 3), factor)
        if target != 'binary':
            values += layouts.mask(slice(3, 5), 3 * factor)
        layouts.write(sequence / folder / 'frame225.png', values)
    dataset = EndoVis17(tmp_path, 'test', target=target)
    assert len(dataset) == 10
    expected = [(1, 3), (0, 37)] if target == 'binary' else [(1, 3), (3, 2), (0, 35)]
    assert runs(dataset.labels(0)) == expected


def test_endovis17_archives_as_unpacked(tmp_path):
    """Training and test sets have sequences of the same numbers in one root."""
    archives = {
        '1_4_training': range(1, 5),
        '5_8_training': range(5, 9),
        '1_4_testing': range(1, 5),
        '5_8_testing': range(5, 9),
        '9_10_testing': (9, 10),
    }
    for archive, numbers in archives.items():
        for number in numbers:
            folder = tmp_path / f'instrument_{archive}' / f'instrument_dataset_{number}'
            colour = number + (100 if 'testing' in archive else 0)
            layouts.write(folder / 'left_frames' / 'frame000.png', layouts.image(value=colour))
            layouts.write(
                folder / 'gt' / 'TypeSegmentation' / 'frame000.png', layouts.mask(slice(0, 3), 1)
            )
    for split, first, length in (('train', 1, 8), ('test', 101, 10)):
        dataset = EndoVis17(tmp_path, split)
        assert len(dataset) == length and dataset.image(0)[0, 0, 2] == first


def test_endovis17_parts_of_real_frames(tmp_path, shared_data):
    """Pixels counted in the files themselves, inside the camera's part of the video frame."""
    source = shared_data / 'seg_parts_ev17'
    for number in range(1, 9):
        folder = tmp_path / f'instrument_dataset_{number}'
        for part in ('left_frames', 'ground_truth/parts'):
            (folder / part).mkdir(parents=True)
        shutil.copy(source / 'frame000_image.png', folder / 'left_frames' / 'frame000.png')
        shutil.copy(source / 'frame000_parts.png', folder / 'ground_truth/parts' / 'frame000.png')
    sample = EndoVis17(tmp_path, target='parts')[0]
    assert sample.image.shape == (1024, 1280, 3) and sample.labels.shape == (1024, 1280)
    stored = cv2.imread(str(source / 'frame000_parts.png'), cv2.IMREAD_GRAYSCALE)
    for part in (1, 2, 3):
        assert (sample.labels == part).sum() == (stored == 10 * part).sum() > 1000
    assert sample.image[:, [0, -1]].mean() > 10  # the black borders are gone
    binary = EndoVis17(tmp_path, target='parts', crop=False).labels(0)
    assert binary.shape == (1080, 1920)


def test_endovis17_binary_of_real_masks(tmp_path, shared_data):
    """CholecSeg8k's tool masks (0, 255) in the layout of MSDESIS's preparation."""
    source = shared_data / 'seg_binary_cholec'
    for number in range(1, 9):
        folder = tmp_path / f'instrument_dataset_{number}'
        for part, kind in (('left_frame', 'frame'), ('ground_truth/binary', 'mask')):
            (folder / part).mkdir(parents=True)
            shutil.copy(source / f'video01_000000_{kind}.png', folder / part / 'frame000.png')
    sample = EndoVis17(tmp_path, target='binary')[7]
    assert sample.image.shape == (360, 640, 3)
    stored = cv2.imread(str(source / 'video01_000000_mask.png'), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(sample.labels, stored // 255)


# EndoVis 2018 and Cata7


@pytest.fixture(scope='module')
def ev18(tmp_path_factory):
    return layouts.endovis18(tmp_path_factory.mktemp('endovis18'))


def test_endovis18_paints_the_masks_of_classes(ev18):
    dataset = datasets.open_dataset('endovis18', ev18, 'train')
    assert [dataset.name(index) for index in range(2)] == ['seq2/00000', 'seq2/00149']
    assert runs(dataset[0].labels) == [(1, 4), (5, 6), (0, 30)]  # the higher id covers
    assert not dataset[1].labels.any()  # an image without instruments belongs to it as well
    assert dataset.class_names[5] == 'Ultrasound Probe'


def test_endovis18_versions(ev18):
    assert EndoVis18(ev18, 'train', version=12)[0].image[0, 0, 2] == len('train/12')
    with pytest.raises(ValueError, match='version is 41, expected 0 to 40'):
        EndoVis18(ev18, 'train', version=41)
    with pytest.raises(ValueError, match='version is 3, expected .* 0 in split val'):
        EndoVis18(ev18, 'val', version=3)


def test_endovis18_prefers_annotations(ev18):
    assert runs(EndoVis18(ev18, 'val')[0].labels) == [(0, 8), (7, 1), (0, 31)]


def test_endovis18_labels_without_images(tmp_path):
    root = layouts.endovis18(tmp_path)
    shutil.rmtree(root / 'val' / 'images')
    with pytest.raises(
        ValueError,
        match='val/images lacks 2 of 2 frames .* such as .*val/images/'
        'seq2/00000.png; add the frames of the challenge',
    ):
        datasets.open_dataset('endovis18', root, 'val')
    dataset = datasets.open_dataset('endovis18', root, 'val', labels_only=True)
    assert runs(dataset.labels(0)) == [(0, 8), (7, 1), (0, 31)]


def test_cata7(tmp_path):
    dataset = datasets.open_dataset('cata7', layouts.cata7(tmp_path), 'train')
    assert len(dataset) == 2 and len(dataset.class_names) == 11
    assert runs(dataset[1].labels) == [(1, 4), (10, 5), (0, 31)]
    with pytest.raises(ValueError, match='class_names has 1 names, expected 10'):
        datasets.open_dataset('cata7', tmp_path, 'test', class_names=['knife'])


# SurgicalSAM's samples


def test_class_prompts(ev17):
    prompts = ClassPrompts(EndoVis17(ev17, 'val', fold=0))
    assert len(prompts) == 4 * 3
    assert [tuple(prompt) for prompt in prompts][:4] == [(0, 2), (0, 3), (0, 7), (1, 2)]
    assert prompts.counts == {1: 0, 2: 4, 3: 4, 4: 0, 5: 0, 6: 0, 7: 4}
    assert runs(prompts.mask(1)) == [(0, 20), (1, 4), (0, 16)]
    assert prompts.mask(1).dtype == bool


# Wrong folders


@pytest.mark.parametrize(
    ('name', 'split', 'options', 'message'),
    [
        (
            'endovis17',
            'train',
            {},
            'expected instrument_dataset_1 with left_frames .* has notes.txt',
        ),
        ('endovis17', 'val', {}, 'a val split only with a fold'),
        ('endovis17', 'train', {'fold': 4}, 'fold is 4, expected 0 to 3'),
        (
            'endovis17',
            'train',
            {'target': 'type'},
            "target is 'type', expected one of types, parts",
        ),
        (
            'endovis18',
            'train',
            {},
            r'expected SEQUENCE/FRAME_class<id>.png in .*train/0/binary_anno',
        ),
        ('endovis18', 'test', {}, "split is 'test', expected one of train, val"),
        (
            'cata7',
            'train',
            {},
            r'expected images/NAME.png and labels/NAME.png in .* is not a folder',
        ),
        (
            'cata7',
            'train',
            {'class_names': 'ten chars.'},
            "class_names is 'ten chars.', expected a",
        ),
        ('cata7', 'train', {'fold': 1}, 'dataset cata7 cannot be opened so: .*fold'),
        ('cityscapes', 'train', {}, "no dataset of labels is called 'cityscapes'; known: cata7"),
    ],
)
def test_what_was_expected_and_what_was_found(tmp_path, name, split, options, message):
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(ValueError, match=message) as error:
        datasets.open_dataset(name, tmp_path, split, **options)
    assert '\n' not in str(error.value)


def test_a_fault_inside_a_dataset_is_not_taken_for_a_wrong_option(tmp_path, monkeypatch):
    monkeypatch.setattr('surgseg_ros.datasets.cata7._frames', lambda folder: len(None))
    with pytest.raises(TypeError, match='NoneType'):
        datasets.open_dataset('cata7', tmp_path, 'train')


def test_files_that_macos_leaves_are_no_images(tmp_path):
    root = layouts.cata7(tmp_path)
    for folder in ('images', 'labels'):
        (root / 'train' / folder / '._0.png').write_bytes(b'no image')
    dataset = datasets.open_dataset('cata7', root, 'train')
    assert [sample.name for sample in dataset] == ['0', '1']


def test_labels_that_are_no_classes(tmp_path):
    root = layouts.cata7(tmp_path)
    layouts.write(root / 'train' / 'labels' / '0.png', layouts.mask(slice(0, 3), 220))
    with pytest.raises(ValueError, match='0.png has label 11, expected class ids 0 to 10'):
        datasets.open_dataset('cata7', root, 'train')[0]


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (3, '0.png has value 3, expected 20 x class id'),  # plain class ids
        (67, '0.png has value 67, expected 20 x class id'),
    ],
)
def test_values_that_are_no_multiple_are_not_rounded(tmp_path, value, message):
    root = layouts.cata7(tmp_path)
    layouts.write(root / 'train' / 'labels' / '0.png', layouts.mask(slice(0, 3), value))
    with pytest.raises(ValueError, match=message):
        datasets.open_dataset('cata7', root, 'train').labels(0)


def test_plain_ids_in_ternaus_masks_are_refused_and_255_stays_unlabelled(tmp_path):
    for number in range(1, 9):
        folder = tmp_path / f'instrument_dataset_{number}'
        layouts.write(folder / 'images' / 'frame000.jpg', layouts.image())
        values = layouts.mask(slice(0, 3), 64) + layouts.mask(slice(3, 5), 255)
        layouts.write(folder / 'instruments_masks' / 'frame000.png', values)
        values = layouts.mask(slice(0, 3), 170) + layouts.mask(slice(3, 5), 255)
        layouts.write(folder / 'parts_masks' / 'frame000.png', values)
    assert runs(EndoVis17(tmp_path).labels(0)) == [(2, 3), (255, 2), (0, 35)]
    assert runs(EndoVis17(tmp_path, target='parts').labels(0)) == [(2, 3), (3, 2), (0, 35)]
    layouts.write(folder / 'instruments_masks' / 'frame000.png', layouts.mask(slice(0, 3), 6))
    with pytest.raises(ValueError, match='frame000.png has value 6, expected 32 x class id'):
        EndoVis17(tmp_path).labels(7)


def test_labels_of_another_size_than_the_image(tmp_path):
    root = layouts.cata7(tmp_path)
    layouts.write(root / 'train' / 'labels' / '0.png', layouts.mask(slice(0, 3), 20, (8, 8)))
    with pytest.raises(ValueError, match='the labels of 0 are 8x8, its image 40x32'):
        datasets.open_dataset('cata7', root, 'train')[0]
