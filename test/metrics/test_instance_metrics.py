"""COCO's average precision: pycocotools' own figures, from files and from arrays."""

import json

import numpy as np
import pytest

pytest.importorskip('pycocotools', reason='average precision needs pycocotools')

from surgseg_ros import cli  # noqa: E402
from surgseg_ros.evaluation import instances  # noqa: E402
from surgseg_ros.metrics.instances import average_precision, coco_truth, records  # noqa: E402

NAMES = ('background', 'grasper', 'scissors')


def squares(*corners, side=20, size=(64, 80)):
    masks = np.zeros((len(corners), *size), bool)
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[y:y + side, x:x + side] = True
    return masks


def judge(truth, found):
    """AP of (class ids, masks) against (class ids, masks, scores), one image."""
    truth = coco_truth([(64, 80)], records(1, *truth), NAMES)
    return average_precision(truth, records(1, *found))


def test_files_give_what_pycocotools_gives(shared_data):
    folder = shared_data / 'inst_coco'
    metrics = instances.evaluate(folder / 'dt_dataset.json', folder / 'gt_dataset.json')
    assert f'{metrics.ap:.4f} {metrics.ap50:.4f} {metrics.ap75:.4f}' == '0.6947 0.6947 0.6947'
    assert np.isnan(metrics.ap_small) and metrics.ap_large == 0


def test_figures_by_hand():
    masks = squares((0, 0), (40, 20))
    perfect = judge(([1, 2], masks), ([1, 2], masks, [0.9, 0.8]))
    assert [perfect.ap, perfect.ap50, perfect.ap_small] == pytest.approx([1, 1, 1])
    assert np.isnan(perfect.ap_medium) and np.isnan(perfect.ap_large)
    # the class is wrong for one of them
    assert judge(([1, 2], masks), ([1, 1], masks, [0.9, 0.8])).ap == pytest.approx(0.5)
    # shifted by 4 of 20 px: an IoU of 2/3 passes the thresholds 0.5, 0.55, 0.6 and 0.65
    shifted = judge(([1], masks[:1]), ([1], squares((4, 0)), [0.9]))
    assert [shifted.ap50, shifted.ap75] == pytest.approx([1, 0])
    assert shifted.ap == pytest.approx(0.4)


def test_nothing_found_is_0_and_nothing_there_is_nan():
    masks, none = squares((0, 0)), np.zeros((0, 64, 80), bool)
    assert judge(([1], masks), ([], none, [])).ap == 0
    assert np.isnan(judge(([], none), ([1], masks, [0.9])).ap)


def test_the_command_prints_and_writes_the_figures(tmp_path, capsys):
    masks = squares((0, 0), (40, 20))
    truth, found = tmp_path / 'gt.json', tmp_path / 'dt.json'
    truth.write_text(json.dumps(coco_truth([(64, 80)], records(1, [1, 2], masks), NAMES)))
    found.write_text(json.dumps(records(1, [1, 1], masks, [0.9, 0.8])))
    figures = tmp_path / 'figures.json'
    command = ['evaluate', 'instances', '--pred', str(found), '--gt', str(truth)]
    assert cli.main([*command, '--json', str(figures)]) == 0
    printed = capsys.readouterr().out.split()
    assert printed[:6] == ['AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L']
    assert printed[6:9] == ['0.5000'] * 3
    assert json.loads(figures.read_text())['ap50'] == pytest.approx(0.5)


@pytest.mark.parametrize('truth, found, sentence', [
    ('{', '[]', 'gt.json is no JSON'),
    ('[]', '[]', 'COCO annotations are a list, expected'),
    ('{"images": []}', '[]', "COCO annotations have no 'annotations'"),
    ('{"images": [], "annotations": [{}], "categories": []}', '[]', 'annotations are broken'),
    ('{"images": [], "annotations": [], "categories": []}', '{}', 'expected a list of results'),
    ('{"images": [], "annotations": [], "categories": []}', '[{"image_id": 1}]',
     "detection 0 has no 'category_id'"),
    ('{"images": [], "annotations": [], "categories": []}',
     '[{"image_id": 1, "category_id": 1, "segmentation": {}, "score": 1}]',
     'detection 0 is of image 1, which the truth does not have'),
])
def test_what_is_wrong_in_a_file_is_said(tmp_path, truth, found, sentence):
    (tmp_path / 'gt.json').write_text(truth)
    (tmp_path / 'dt.json').write_text(found)
    with pytest.raises(ValueError, match=sentence):
        instances.evaluate(tmp_path / 'dt.json', tmp_path / 'gt.json')
    with pytest.raises(FileNotFoundError, match='there is no file'):
        instances.evaluate(tmp_path / 'dt.json', tmp_path / 'nothing.json')
