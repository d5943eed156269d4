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
        mask[y : y + side, x : x + side] = True
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
    *_, titles, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert titles == ['coco', 'AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L']
    assert row[:4] == ['masks', *['0.5000'] * 3]
    assert json.loads(figures.read_text())['ap50'] == pytest.approx(0.5)


@pytest.mark.parametrize(
    'truth, found, sentence',
    [
        ('{', '[]', 'gt.json is no JSON'),
        ('[]', '[]', 'COCO annotations are a list, expected'),
        ('{"images": []}', '[]', "COCO annotations have no 'annotations'"),
        (
            '{"images": [], "annotations": [{}], "categories": []}',
            '[]',
            "number 0 of the annotations has no 'id'",
        ),
        (
            '{"images": [], "annotations": [], "categories": []}',
            '{}',
            'expected a list of results',
        ),
        (
            '{"images": [], "annotations": [], "categories": []}',
            '[{"image_id": 1}]',
            "detection 0 has no 'category_id'",
        ),
        (
            '{"images": [], "annotations": [], "categories": []}',
            '[{"image_id": 1, "category_id": 1, "segmentation": {}, "score": 1}]',
            'detection 0 is of image 1, which the truth does not have',
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path, truth, found, sentence):
    (tmp_path / 'gt.json').write_text(truth)
    (tmp_path / 'dt.json').write_text(found)
    with pytest.raises(ValueError, match=sentence):
        instances.evaluate(tmp_path / 'dt.json', tmp_path / 'gt.json')
    with pytest.raises(FileNotFoundError, match='there is no file'):
        instances.evaluate(tmp_path / 'dt.json', tmp_path / 'nothing.json')


SQUARE = records(1, [1], squares((0, 0)), [0.9])[0]


def longer(record):
    """Compressed run lengths of an image that is one column wider."""
    masks = np.pad(squares((0, 0)), ((0, 0), (0, 0), (0, 1)))
    return records(1, [1], masks)[0]['segmentation']['counts']


@pytest.mark.parametrize(
    'change, sentence',
    [
        ({'score': float('nan')}, 'detection 0 has the score nan, expected a number'),
        ({'score': '0.5'}, "detection 0 has the score '0.5', expected a number"),
        ({'image_id': [1]}, r'detection 0 has the image_id \[1\], expected a number'),
        ({'image_id': 'a'}, "detection 0 is of image 'a', which the truth does not have"),
        ({'category_id': 9}, 'detection 0 is of category 9, which the truth does not have'),
        ({'bbox': [1, 2]}, r'detection 0 has the bbox \[1, 2\], expected x, y, width, height'),
        ({'bbox': 'none'}, "detection 0 has the bbox 'none', expected x, y"),
        (
            {'segmentation': []},
            'detection 0 has a segmentation that is neither polygons nor run len',
        ),
        ({'segmentation': None}, 'detection 0 has a segmentation that is neither'),
        ({'segmentation': {'counts': 'abc'}}, 'detection 0 has a segmentation that is neither'),
        ({'segmentation': [[1, 2, 3]]}, 'detection 0 has a segmentation that is neither'),
        (
            {'segmentation': records(1, [1], np.ones((1, 10, 20), bool))[0]['segmentation']},
            'detection 0 has a segmentation of 20x10 px, its image has 80x64 px',
        ),
        (
            {'segmentation': {'size': [64, 80], 'counts': [100, 20]}},
            'detection 0 has run lengths that do not fill its image',
        ),
        *(
            (
                {'segmentation': [[0, 0, 20, 0, 20, far]]},
                'detection 0 has a segmentation that is neither',
            )
            for far in (1e12, -1e12, float('nan'), float('inf'), '20')
        ),
        ({'segmentation': [[0, 0, 20, 0, 20]]}, 'detection 0 has a segmentation that is neither'),
        (
            {'segmentation': [{'size': [64, 80], 'counts': [1]}]},
            'detection 0 has a segmentation that is neither',
        ),
        (
            {'segmentation': {'size': [64, 80], 'counts': [-10, 64 * 80 + 10]}},
            'detection 0 has run lengths that do not fill its image',
        ),
        (
            {'segmentation': {'size': [64, 80], 'counts': [0.5, 64 * 80 - 0.5]}},
            'detection 0 has a segmentation that is neither',
        ),
        *(
            (
                {'segmentation': {'size': [64, 80], 'counts': counts}},
                'detection 0 has run lengths that do not fill its image',
            )
            for counts in (
                '1',
                '00000',
                SQUARE['segmentation']['counts'][:-3],
                SQUARE['segmentation']['counts'] + '1',
                b'1',
                longer(SQUARE),
                records(1, [1], squares((0, 0), size=(64, 79)))[0]['segmentation']['counts'],
            )
        ),
        *(
            (
                {'segmentation': {'size': [64, 80], 'counts': counts}},
                'detection 0 has a segmentation that is neither',
            )
            for counts in ('', 'P', 'PPPPPPPPPPPPPP1', ' ', '\x00', 'é', 5, None)
        ),
    ],
)
def test_what_is_wrong_with_a_detection_is_said(change, sentence):
    truth = coco_truth([(64, 80)], records(1, [1], squares((0, 0))), NAMES)
    assert average_precision(truth, [SQUARE]).ap == pytest.approx(1)
    with pytest.raises(ValueError, match=sentence):
        average_precision(truth, [{**SQUARE, **change}])


@pytest.mark.parametrize(
    'part, change, sentence',
    [
        (
            'annotations',
            {'segmentation': [[0, 0, 1, 'x', 2, 2]]},
            'annotation 1 of image 1 has a segmentation that is neither',
        ),
        (
            'annotations',
            {'segmentation': [], 'bbox': None},
            'annotation 1 of image 1 has neither a segmentation nor a bbox of x, y, width, height',
        ),
        (
            'annotations',
            {'segmentation': {'size': [9, 9], 'counts': 'a'}},
            'annotation 1 of image 1 has a segmentation of 9x9 px, its image has 80x64 px',
        ),
        (
            'annotations',
            {'category_id': 9},
            'annotation 1 is of category 9, which the truth does not',
        ),
        ('images', {'id': None}, 'number 0 of the images has the id None, expected a number'),
    ],
)
def test_what_is_wrong_with_the_truth_is_said(part, change, sentence):
    truth = coco_truth([(64, 80)], records(1, [1], squares((0, 0))), NAMES)
    truth[part][0].update(change)
    with pytest.raises(ValueError, match=sentence):
        average_precision(truth, [SQUARE])


def test_boxes_only_are_no_masks():
    truth = coco_truth([(64, 80)], records(1, [1], squares((0, 0))), NAMES)
    for annotation in truth['annotations']:
        del annotation['segmentation']
    with pytest.raises(ValueError, match="number 0 of the annotations has no 'segmentation'"):
        average_precision(truth, [SQUARE])


def test_every_kind_of_segmentation_and_what_others_leave_out():
    """Endoscapes has no iscrowd; annotation 0 and ids that come twice count as any other."""
    corners = ((0, 0), (30, 0), (0, 30))
    truth = coco_truth([(64, 80)], records(1, [1, 1, 1], squares(*corners)), NAMES)
    for annotation in truth['annotations']:
        annotation.update(id=0)
        del annotation['iscrowd'], annotation['area']
    polygon = {**SQUARE, 'segmentation': [[0, 0, 20, 0, 20, 20, 0, 20]]}
    runs = [30 * 64, *[20, 44] * 19, 20]
    counted = {
        **SQUARE,
        'segmentation': {'size': [64, 80], 'counts': [*runs, 64 * 80 - sum(runs)]},
    }
    compressed = records(1, [1], squares((0, 30)), [0.9])[0]
    assert average_precision(truth, [polygon, counted, compressed]).ap == pytest.approx(1)


def test_results_of_another_class_do_not_count_and_crowds_forgive():
    truth, crowd = squares((0, 0)), np.zeros((1, 64, 80), bool)
    crowd[:, 30:] = True
    annotations = [*records(1, [1], truth), *records(1, [1], crowd, crowd=True)]
    inside = records(1, [1, 1], squares((10, 35), (50, 40)), [0.95, 0.94])
    stranger = {**SQUARE, 'category_id': 77, 'score': 1.0}
    content = coco_truth([(64, 80)], annotations, NAMES)
    assert average_precision(content, [*inside, stranger, SQUARE]).ap == pytest.approx(1)
    content['annotations'][1]['iscrowd'] = 0
    assert average_precision(content, [*inside, stranger, SQUARE]).ap < 0.5


def test_sizes_are_those_of_masks_or_of_boxes_where_results_have_them(tmp_path):
    """As mmdetection and detectron2 judge theirs; pycocotools' own loadRes agrees."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    bent = np.zeros((1, 64, 80), bool)
    bent[0, 0, :60] = bent[0, :60, 0] = True  # 119 px in a box of 3600
    truth = coco_truth([(64, 80)], records(1, [1], squares((30, 30))), NAMES)
    for results, expected in [
        (
            [SQUARE, *records(1, [1], bent, [0.95]), *records(1, [1], squares((30, 30)), [0.5])],
            1 / 3,
        ),
        (
            [{**one, 'bbox': [0, 0, 60, 60]} for one in records(1, [1], bent, [0.95])]
            + [
                {**one, 'bbox': [30, 30, 20, 20]}
                for one in records(1, [1], squares((30, 30)), [0.5])
            ],
            1.0,
        ),
    ]:
        (tmp_path / 'gt.json').write_text(json.dumps(truth))
        (tmp_path / 'dt.json').write_text(json.dumps(results))
        known = COCO(str(tmp_path / 'gt.json'))
        own = COCOeval(known, known.loadRes(str(tmp_path / 'dt.json')), 'segm')
        own.evaluate()
        own.accumulate()
        own.summarize()
        metrics = average_precision(truth, results)
        assert metrics.ap_small == pytest.approx(expected, abs=0.01)
        assert metrics.ap_small == own.stats[3] and metrics.ap == own.stats[0]


def test_absent_sizes_are_said(tmp_path, capsys):
    truth = coco_truth([(64, 80)], records(1, [1], squares((0, 0))), NAMES)
    (tmp_path / 'gt.json').write_text(json.dumps(truth))
    (tmp_path / 'dt.json').write_text(json.dumps([SQUARE]))
    figures = tmp_path / 'new' / 'figures.json'
    assert (
        cli.main(
            [
                'evaluate',
                'instances',
                '--pred',
                str(tmp_path / 'dt.json'),
                '--gt',
                str(tmp_path / 'gt.json'),
                '--json',
                str(figures),
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.split()[-6:] == ['1.0000'] * 4 + ['-'] * 2
    assert 'NaN' not in figures.read_text()
    assert json.loads(figures.read_text())['ap_large'] is None
