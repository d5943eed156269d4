"""surgseg infer instances: COCO's JSON, overlays, videos, and what is refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from golden_recipe import fill_network, texture
from surgseg_infer import NAMES, SIZE, Infer, by_torch, files, read, write_images

from surgseg_ros import networks, predictors
from surgseg_ros.cli import main
from surgseg_ros.commands import infer_instances
from surgseg_ros.metrics.instances import coco_truth, records
from surgseg_ros.networks.card import Card
from surgseg_ros.tracking.instance_tracker import InstanceTracker

torch = pytest.importorskip('torch', reason='networks need torch')

CLASSES = ('background', 'grasper', 'scissors')
infer = Infer('instances')


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from safetensors.torch import save_file

    options = {'num_classes': 2, 'width': 32, 'depth': 1, 'grids': (6, 5, 4, 3, 2)}
    network = fill_network(networks.create('solo_mobilenet', **options))
    path = tmp_path_factory.mktemp('weights') / 'small.safetensors'
    card = Card('solo_mobilenet', options, CLASSES, {'input_size': list(SIZE)})
    save_file(network.state_dict(), path, metadata=card.metadata())
    return path


@pytest.fixture
def network(weights: Path) -> list[str]:
    return by_torch(weights)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / 'in')


@pytest.fixture
def predicted(weights: Path):
    """All that is found in the images in the order of their numbers: a2, a9, a10."""
    predictor = predictors.create(
        'solo_mobilenet', weights=weights, backend='torch', device='cpu', score_threshold=0.4
    )
    return [predictor.predict(texture(name, *SIZE)) for name in ('a2', 'a9', 'a10')]


@pytest.fixture
def results(predicted):
    """What counts of it: duplicates are dropped."""
    return [result.best(20, 0.4).distinct() for result in predicted]


def test_detections_are_cocos_of_the_predictor(
    folder, network, predicted, results, tmp_path, capsys
):
    out = tmp_path / 'out'
    assert (
        infer(
            folder,
            *network,
            '--score-threshold',
            0.4,
            '--out',
            out,
            '--overlay',
            '--video',
            tmp_path / 'v.mp4',
        )
        == 0
    )
    counts = [sum(len(result.scores) for result in given) for given in (predicted, results)]
    assert counts[0] > counts[1] >= 3
    expected = [
        one
        for number, result in enumerate(results, 1)
        for one in records(number, result.class_ids, result.masks, result.scores)
    ]
    assert json.loads((out / 'detections.json').read_text()) == expected
    assert sorted(path.stem for path in (out / 'overlay').iterdir()) == sorted(NAMES)
    picture = cv2.imread(str(out / 'overlay' / 'a2.png'))[..., ::-1]
    changed = (picture != texture('a2', *SIZE)).any(axis=2)
    assert changed[results[0].masks.any(axis=0)].mean() > 0.9
    assert (tmp_path / 'v.mp4').stat().st_size > 0
    assert 'grasper' in capsys.readouterr().out


def test_detections_can_be_judged_under_the_ids_of_annotations(
    folder, network, results, tmp_path, capsys
):
    truth = coco_truth(
        [SIZE] * 3,
        [
            one
            for number, result in enumerate(results, 1)
            for one in records(number, result.class_ids, result.masks)
        ],
        CLASSES,
    )
    for image, name, number in zip(
        truth['images'], ('a2', 'a9', 'a10'), (30, 20, 10), strict=True
    ):
        old, image['id'], image['file_name'] = image['id'], number, f'left/{name}.jpg'
        for one in truth['annotations']:
            if one['image_id'] == old:
                one['image_id'] = number
    for one in truth['annotations']:  # categories with gaps, in another order, as COCO's
        one['category_id'] = {1: 90, 2: 13}[one['category_id']]
    for category, number in zip(truth['categories'], (90, 13), strict=True):
        category['id'] = number
    (tmp_path / 'gt.json').write_text(json.dumps(truth))
    out = tmp_path / 'out'
    assert (
        infer(
            folder,
            *network,
            '--score-threshold',
            0.4,
            '--out',
            out,
            '--image-ids',
            tmp_path / 'gt.json',
        )
        == 0
    )
    found = json.loads((out / 'detections.json').read_text())
    assert {one['image_id'] for one in found} == {10, 20, 30}
    assert {one['category_id'] for one in found} == {
        one['category_id'] for one in truth['annotations']
    }
    assert (
        main(
            [
                'evaluate',
                'instances',
                '--pred',
                str(out / 'detections.json'),
                '--gt',
                str(tmp_path / 'gt.json'),
                '--json',
                str(tmp_path / 'ap.json'),
            ]
        )
        == 0
    )
    assert json.loads((tmp_path / 'ap.json').read_text())['ap'] == pytest.approx(1.0)
    truth['images'][0]['file_name'] = 'other.png'
    (tmp_path / 'gt.json').write_text(json.dumps(truth))
    assert 'gt.json has no image a2' in infer.refused(
        capsys, folder, *network, '--out', out, '--image-ids', tmp_path / 'gt.json'
    )
    truth['categories'][0]['name'] = 'Grasper'
    (tmp_path / 'gt.json').write_text(json.dumps(truth))
    assert "gt.json has no category 'grasper', which the weights are for; it has Grasper" in (
        infer.refused(capsys, folder, *network, '--out', out, '--image-ids', tmp_path / 'gt.json')
    )


def test_files_are_judged_as_weights_are(folder, weights, network, tmp_path):
    """With the settings that the help names, every record is one that evaluate_predictor has."""
    assert (
        infer(
            folder,
            *network,
            '--score-threshold',
            0.1,
            '--final-threshold',
            0.05,
            '--max-overlap',
            1,
            '--max-instances',
            100,
            '--out',
            tmp_path / 'out',
        )
        == 0
    )
    predictor = predictors.create('solo_mobilenet', weights=weights, backend='torch', device='cpu')
    assert predictor.validation_threshold == predictor.score_threshold == 0.1
    expected = [
        one
        for number, name in enumerate(('a2', 'a9', 'a10'), 1)
        for one in records(
            number,
            *(
                getattr(predictor.predict(texture(name, *SIZE)), key)
                for key in ('class_ids', 'masks', 'scores')
            ),
        )
    ]
    assert min(one['score'] for one in expected) < 0.1
    assert json.loads((tmp_path / 'out' / 'detections.json').read_text()) == expected


def test_tracks_are_in_the_json(folder, network, predicted, tmp_path):
    assert (
        infer(
            folder,
            *network,
            '--score-threshold',
            0.4,
            '--out',
            tmp_path / 'out',
            '--track',
            '--max-instances',
            2,
            '--rate',
            10,
        )
        == 0
    )
    tracker = InstanceTracker()
    expected = np.concatenate(
        [
            tracker.update(index / 10, result.class_ids, result.masks)
            for index, result in enumerate(one.best(2, 0.4).distinct() for one in predicted)
        ]
    )
    found = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert [one['track_id'] for one in found] == expected.tolist()


def test_parts_are_a_picture_each(folder, network, results, tmp_path):
    from safetensors.torch import save_file

    classes = ('background', 'shaft', 'wrist', 'clasper')
    card = Card('lwanet', {'num_classes': 4}, classes, {'input_size': list(SIZE)})
    path = tmp_path / 'parts.safetensors'
    save_file(
        fill_network(networks.create('lwanet', num_classes=4)).state_dict(),
        path,
        metadata=card.metadata(),
    )
    assert (
        infer(
            folder,
            *network,
            '--score-threshold',
            0.4,
            '--out',
            tmp_path / 'out',
            '--parts-weights',
            path,
        )
        == 0
    )
    assert files(tmp_path / 'out') == ['detections.json', *(f'parts/{name}.png' for name in NAMES)]
    semantic = predictors.create('lwanet', weights=path, backend='torch', device='cpu')
    for name, result in zip(('a2', 'a9', 'a10'), results, strict=True):
        labels = semantic.predict(texture(name, *SIZE)).labels
        expected = np.array([255, 1, 2, 3])[labels] * result.masks.any(axis=0)
        np.testing.assert_array_equal(read(tmp_path / 'out' / 'parts' / f'{name}.png'), expected)


def test_nothing_found_is_an_empty_list(folder, network, tmp_path):
    assert infer(folder, *network, '--score-threshold', 1, '--out', tmp_path / 'out') == 0
    assert json.loads((tmp_path / 'out' / 'detections.json').read_text()) == []


@pytest.mark.parametrize(
    'words, reason',
    [
        ([], 'nothing to write: give --out or --video'),
        (['--out', 'x.mp4'], '--out is a folder'),
        (['--video', 'x.mp4', '--overlay'], '--overlay needs --out'),
        (['--video', 'x.mp4', '--parts-weights', 'p.pt'], '--parts-weights needs --out'),
        (['--out', 'x', '--score-threshold', '2'], '--score-threshold is 2, expected 0 to 1'),
        (['--out', 'x', '--final-threshold', '-1'], '--final-threshold is -1, expected 0 to 1'),
        (['--out', 'x', '--weights', 'no.pt'], 'there is no checkpoint no.pt'),
        (['--out', 'x', '--model', 'fassst_small'], 'fassst_small needs weights'),
    ],
)
def test_what_cannot_be_is_refused(folder, capsys, words, reason, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert reason in infer.refused(capsys, folder, *words)
    assert not (tmp_path / 'x').exists()


def test_masks_in_files_need_pycocotools(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(infer_instances, 'find_spec', lambda name: None)
    monkeypatch.setattr(predictors, 'create', None)  # it is said before anything is loaded
    assert '--out needs pycocotools, for its masks: pip install pycocotools' in infer.refused(
        capsys, folder, '--out', tmp_path / 'x'
    )
