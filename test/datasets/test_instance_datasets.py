"""Datasets of instances: COCO's format and images of labels with instance numbers."""

import json

import cv2
import layouts
import numpy as np
import pytest

pytest.importorskip('pycocotools', reason='COCO needs pycocotools')

from surgseg_ros import cli  # noqa: E402
from surgseg_ros.datasets import open_dataset  # noqa: E402
from surgseg_ros.datasets.simulated import instances_of  # noqa: E402
from surgseg_ros.datasets.to_coco import write_coco  # noqa: E402
from surgseg_ros.metrics.instances import coco_truth, records  # noqa: E402
from surgseg_ros.networks.coco import CLASS_NAMES  # noqa: E402


def write(root, annotations, categories=({'id': 7, 'name': 'hook'}, {'id': 3, 'name': 'clip'})):
    """Write a COCO folder of one image of 40 x 30 px."""
    for folder in ('annotations', 'val2017'):
        (root / folder).mkdir(exist_ok=True)
    image = np.full((30, 40, 3), (10, 20, 30), np.uint8)
    cv2.imwrite(str(root / 'val2017' / '000000000042.png'), image)
    content = {
        'images': [{'id': 42, 'file_name': '000000000042.png', 'height': 30, 'width': 40}],
        'annotations': [{'id': i, **one} for i, one in enumerate(annotations)],
        'categories': list(categories),
    }
    (root / 'annotations' / 'instances_val2017.json').write_text(json.dumps(content))
    return root


def test_coco_polygons_rle_crowds_and_sparse_ids(tmp_path):
    mask = np.zeros((1, 30, 40), bool)
    mask[0, 5:10, 20:35] = True
    encoded = records(42, np.array([7]), mask)[0]
    polygon = {
        'image_id': 42,
        'category_id': 3,
        'iscrowd': 0,
        'segmentation': [[2, 3, 12, 3, 12, 9, 2, 9]],
    }
    crowd = {**encoded, 'iscrowd': 1}
    nothing = records(42, np.array([3]), np.zeros((1, 30, 40), bool))[0]
    dataset = open_dataset(
        'coco', write(tmp_path, [encoded, polygon, crowd, nothing]), 'val2017', 'instances'
    )
    assert dataset.class_names == ('background', 'clip', 'hook')
    assert dataset.category_ids == (3, 7) and len(dataset) == 1
    name, image, class_ids, masks = dataset[0][:4]
    assert name == '000000000042' and image[0, 0].tolist() == [30, 20, 10]
    np.testing.assert_array_equal(class_ids, [2, 1])
    np.testing.assert_array_equal(masks[0], mask[0])
    expected = np.zeros((30, 40), bool)
    expected[3:9, 2:12] = True
    np.testing.assert_array_equal(masks[1], expected)
    np.testing.assert_array_equal(dataset[0].crowd_ids, [2])
    np.testing.assert_array_equal(dataset[0].crowd_masks, mask)
    assert [one['iscrowd'] for one in dataset[0].annotations(5)] == [0, 0, 1]
    with pytest.raises(IndexError):
        dataset[1]


def test_coco_as_published(tmp_path):
    """80 classes of 90 ids in the order that published weights know, whatever the file's."""
    dataset = open_dataset('coco', layouts.coco(tmp_path), 'train2017', 'instances')
    assert dataset.class_names == CLASS_NAMES
    assert dataset.category_ids[-1] == 90
    assert not set(layouts.COCO_GAPS) & set(dataset.category_ids)
    assert [sample.name for sample in dataset] == ['000000000042', '000000000139', '000000000285']
    assert [sample.image.shape for sample in dataset] == [(64, 48, 3), (48, 64, 3), (48, 64, 3)]
    assert [[dataset.class_names[k] for k in sample.class_ids] for sample in dataset] == [
        [],
        ['person', 'toothbrush'],
        ['stop sign'],
    ]
    assert dataset[1].masks[0, 6:36, 8:40].all() and dataset[1].masks[0, 8, 58]
    np.testing.assert_array_equal(dataset[2].crowd_ids, [1])
    assert dataset[2].crowd_masks[0, :, :10].all() and not dataset[2].crowd_masks[0, :, 10:].any()


def test_an_image_without_instances_is_a_sample(tmp_path):
    _, image, class_ids, masks, *_ = open_dataset(
        'coco', write(tmp_path, []), 'val2017', 'instances'
    )[0]
    assert image.shape == (30, 40, 3)
    assert class_ids.shape == (0,) and masks.shape == (0, 30, 40)


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(ValueError, match=r'instances_train.json, expected COCO annotations'):
        open_dataset('coco', tmp_path, 'train', 'instances')
    wide = records(42, np.array([7]), np.ones((1, 40, 30), bool))
    sentence = (
        'annotation 0 of image 42 .0+42.png. has a segmentation of 30x40 px, its image has 40'
    )
    with pytest.raises(ValueError, match=sentence):
        open_dataset('coco', write(tmp_path, wide), 'val2017', 'instances')
    short = {**wide[0], 'segmentation': {'size': [30, 40], 'counts': '1'}}
    with pytest.raises(ValueError, match='annotation 0 of .* has run lengths that do not fill'):
        open_dataset('coco', write(tmp_path, [short]), 'val2017', 'instances')
    whole = records(42, np.array([7]), np.ones((1, 30, 40), bool))
    write(tmp_path, [{**whole[0], 'segmentation': [[0, 0, 9, 0, 9, 9]]}])
    path = tmp_path / 'annotations' / 'instances_val2017.json'
    path.write_text(path.read_text().replace('"width": 40', '"width": 41'))
    with pytest.raises(ValueError, match='42.png has 40x30 px, its annotations are for 41x30'):
        open_dataset('coco', tmp_path, 'val2017', 'instances')[0]
    path.write_text(path.read_text().replace('"name"', '"title"'))
    with pytest.raises(ValueError, match="json: some of the categories have no 'name'"):
        open_dataset('coco', tmp_path, 'val2017', 'instances')
    path.write_text('[]')
    with pytest.raises(ValueError, match=r'instances_val2017.json: COCO annotations are a list'):
        open_dataset('coco', tmp_path, 'val2017', 'instances')
    with pytest.raises(ValueError, match="no dataset of instances is called 'voc'; known: city"):
        open_dataset('voc', tmp_path, 'val', 'instances')
    with pytest.raises(ValueError, match='cannot be opened so: .*colour'):
        open_dataset('coco', tmp_path, 'val', 'instances', colour=True)


def test_instances_of_labels_and_numbers():
    numbers = np.array([[0, 4, 4, 4], [9, 9, 0, 4]])
    labels = np.array([[0, 2, 2, 1], [3, 3, 0, 2]])
    class_ids, masks = instances_of(labels, numbers)
    np.testing.assert_array_equal(class_ids, [2, 3])
    np.testing.assert_array_equal(masks, [numbers == 4, numbers == 9])
    class_ids, masks = instances_of(labels, np.zeros_like(labels))
    assert class_ids.shape == (0,) and masks.shape == (0, 2, 4)


@pytest.fixture
def cityscapes(tmp_path):
    return layouts.cityscapes(tmp_path)


def test_cityscapes(cityscapes):
    dataset = open_dataset('cityscapes', cityscapes, 'val', 'instances')
    assert len(dataset) == 3 and dataset.class_names[:3] == ('background', 'person', 'rider')
    name, image, class_ids, masks = dataset[1][:4]
    assert name == 'ulm_000001_000019' and (image == 50).all()
    np.testing.assert_array_equal(class_ids, [1, 1, 3, 5])  # the crowd is no instance
    assert masks.sum(axis=(1, 2)).tolist() == [48, 30, 36, 45]
    np.testing.assert_array_equal(dataset[1].crowd_ids, [1])
    assert dataset[1].crowd_masks.sum() == dataset[1].crowd_masks[0, 20:25, 12:20].sum() == 40
    some = open_dataset(
        'cityscapes', cityscapes, 'val', 'instances', classes=['bus', 'car'], frames=2
    )
    assert [some[0].name[:10], some[1].name[:10]] == ['ulm_000000', 'ulm_000002']
    np.testing.assert_array_equal(some[0].class_ids, [2, 1])
    with pytest.raises(ValueError, match="class is 'boat', expected one of person"):
        open_dataset('cityscapes', cityscapes, 'val', 'instances', classes=['boat'])
    with pytest.raises(ValueError, match='expected the layout of Cityscapes'):
        open_dataset('cityscapes', cityscapes, 'train', 'instances')
    with pytest.raises(ValueError, match='frames is 4, expected 1 to 3'):
        open_dataset('cityscapes', cityscapes, 'val', 'instances', frames=4)


def test_what_is_written_as_coco_is_read_again(cityscapes, tmp_path):
    dataset = open_dataset('cityscapes', cityscapes, 'val', 'instances', classes=['person', 'bus'])
    path = write_coco(dataset, tmp_path / 'coco', 'val')
    assert path == tmp_path / 'coco' / 'annotations' / 'instances_val.json'
    again = open_dataset('coco', tmp_path / 'coco', 'val', 'instances')
    assert again.class_names == dataset.class_names and len(again) == len(dataset)
    for index in range(len(dataset)):
        for one, other in zip(dataset[index][1:], again[index][1:], strict=True):
            np.testing.assert_array_equal(one, other)


def test_endovis17_has_an_instance_per_instrument_folder(tmp_path):
    dataset = open_dataset('endovis17', layouts.endovis17(tmp_path), 'val', 'instances', fold=0)
    assert len(dataset) == 4  # two frames of two sequences
    name, image, class_ids, masks = dataset[0][:4]
    assert name == 'instrument_dataset_1/frame000' and image.shape == (*layouts.SIZE, 3)
    assert [dataset.class_names[k] for k in class_ids] == [
        'Prograsp Forceps',
        'Other',
        'Large Needle Driver',
    ]
    assert [np.unique(np.nonzero(one)[1]).tolist() for one in masks] == [
        list(range(8)),
        [30, 31, 32],
        [20, 21, 22, 23],
    ]


def test_endovis17_with_masks_of_types_tells_no_instruments_apart(tmp_path):
    for number in range(1, 9):
        folder = tmp_path / f'instrument_dataset_{number}'
        layouts.write(folder / 'images' / 'frame000.jpg', layouts.image())
        layouts.write(folder / 'instruments_masks' / 'frame000.png', layouts.mask(slice(3, 9), 32))
    with pytest.raises(
        ValueError,
        match='expected <instrument>_labels folders in .*'
        'ground_truth; .* has images, instruments_masks$',
    ):
        open_dataset('endovis17', tmp_path, 'train', 'instances')


def test_the_command_writes_what_coco_reads(cityscapes, tmp_path, capsys):
    out = tmp_path / 'coco'
    command = [
        'datasets',
        'to-coco',
        '--dataset',
        'cityscapes',
        '--root',
        str(cityscapes),
        '--option',
        'frames=2',
        '--option',
        'classes=[person, car]',
        '--out',
        str(out),
    ]
    assert cli.main(command) == 0
    assert '2 images: ' in capsys.readouterr().out
    before = open_dataset(
        'cityscapes', cityscapes, 'val', 'instances', frames=2, classes=['person', 'car']
    )
    after = open_dataset('coco', out, 'val', 'instances')
    assert after.class_names == before.class_names
    for index in range(2):
        np.testing.assert_array_equal(after[index].image, before[index].image)
        np.testing.assert_array_equal(after[index].class_ids, before[index].class_ids)
        np.testing.assert_array_equal(after[index].masks, before[index].masks)


@pytest.mark.parametrize(
    ('annotations', 'images', 'named'),
    [
        ('annotations/instances_val.json', 'val', '{}'),
        ('annotations/instances_val.json', 'val', 'val/{}'),
        ('annotations/instances_val.json', 'val', 'val\\{}'),
        ('annotations/instances_val.json', 'val/seq_1', '{}'),  # in a folder below
        ('annotations/instances_val.json', 'val/seq_1', 'seq_1/{}'),
        ('annotations/instances_val.json', 'images', '{}'),  # CVAT
        ('annotations/instances_val.json', 'images', '../../data/upload/1/{}'),  # Label Studio
        ('annotations/instances_val.json', 'images', '/data/upload/{}'),
        ('val/_annotations.coco.json', 'val', '{}'),  # Roboflow
    ],
)
def test_images_lie_where_tools_put_them(tmp_path, annotations, images, named):
    name = 'a.b_jpg.rf.png'
    layouts.write(tmp_path / images / name, layouts.image((30, 40)))
    content = coco_truth([(30, 40)], records(1, [1], np.ones((1, 30, 40), bool)), ('', 'clip'))
    content['images'][0]['file_name'] = named.format(name)
    (tmp_path / annotations).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / annotations).write_text(json.dumps(content), 'utf-8-sig')  # with a BOM
    dataset = open_dataset('coco', tmp_path, 'val', 'instances')
    assert dataset[0].masks.sum() == 30 * 40
    counts = dataset.counts()
    assert (counts.images, dict(counts.instances), counts.crowds) == (1, {'clip': 1}, 0)
    (tmp_path / images / name).unlink()
    with pytest.raises(ValueError, match=r'image 1 is .*a.b_jpg.rf.png, and there is none in'):
        open_dataset('coco', tmp_path, 'val', 'instances')
