"""Datasets of instances: COCO's format and images of labels with instance numbers."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip('pycocotools', reason='COCO needs pycocotools')

from surgseg_ros.datasets.instances import instances_of, open_instances  # noqa: E402
from surgseg_ros.metrics.instances import records  # noqa: E402


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
    polygon = {'image_id': 42, 'category_id': 3, 'iscrowd': 0,
               'segmentation': [[2, 3, 12, 3, 12, 9, 2, 9]]}
    crowd = {**encoded, 'iscrowd': 1}
    nothing = records(42, np.array([3]), np.zeros((1, 30, 40), bool))[0]
    dataset = open_instances('coco', write(tmp_path, [encoded, polygon, crowd, nothing]),
                             'val2017')
    assert dataset.class_names == ('background', 'clip', 'hook')
    assert dataset.category_ids == (3, 7) and len(dataset) == 1
    name, image, class_ids, masks = dataset[0]
    assert name == '000000000042' and image[0, 0].tolist() == [30, 20, 10]
    np.testing.assert_array_equal(class_ids, [2, 1])
    np.testing.assert_array_equal(masks[0], mask[0])
    expected = np.zeros((30, 40), bool)
    expected[3:9, 2:12] = True
    np.testing.assert_array_equal(masks[1], expected)
    with pytest.raises(IndexError):
        dataset[1]


def test_an_image_without_instances_is_a_sample(tmp_path):
    _, image, class_ids, masks = open_instances('coco', write(tmp_path, []), 'val2017')[0]
    assert image.shape == (30, 40, 3)
    assert class_ids.shape == (0,) and masks.shape == (0, 30, 40)


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(ValueError, match=r'instances_train.json, expected COCO annotations'):
        open_instances('coco', tmp_path, 'train')
    wide = records(42, np.array([7]), np.ones((1, 40, 30), bool))
    dataset = open_instances('coco', write(tmp_path, wide), 'val2017')
    with pytest.raises(ValueError, match='0 has a mask of 30x40 px, its image is 40x30'):
        dataset[0]
    path = tmp_path / 'annotations' / 'instances_val2017.json'
    path.write_text('[]')
    with pytest.raises(ValueError, match=r'instances_val2017.json: COCO annotations are a list'):
        open_instances('coco', tmp_path, 'val2017')
    with pytest.raises(ValueError, match="no dataset of instances is called 'voc'; known: coco"):
        open_instances('voc', tmp_path, 'val')
    with pytest.raises(ValueError, match='cannot be opened so: .*colour'):
        open_instances('coco', tmp_path, 'val', colour=True)


def test_instances_of_labels_and_numbers():
    numbers = np.array([[0, 4, 4, 4], [9, 9, 0, 4]])
    labels = np.array([[0, 2, 2, 1], [3, 3, 0, 2]])
    class_ids, masks = instances_of(labels, numbers)
    np.testing.assert_array_equal(class_ids, [2, 3])
    np.testing.assert_array_equal(masks, [numbers == 4, numbers == 9])
    class_ids, masks = instances_of(labels, np.zeros_like(labels))
    assert class_ids.shape == (0,) and masks.shape == (0, 2, 4)
