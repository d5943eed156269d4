"""surgseg evaluate instances with weights: a predictor over a dataset."""

import json

import numpy as np
import pytest

pytest.importorskip('pycocotools', reason='COCO needs pycocotools')

from surgseg_ros import cli, predictors  # noqa: E402
from surgseg_ros.commands import dataset_arguments  # noqa: E402
from surgseg_ros.datasets import InstanceDataset, InstanceSample, open_dataset  # noqa: E402
from surgseg_ros.datasets.to_coco import write_coco  # noqa: E402
from surgseg_ros.evaluation.instances import evaluate, evaluate_predictor  # noqa: E402
from surgseg_ros.frames.results import InstanceResult, mask_boxes  # noqa: E402
from surgseg_ros.metrics.instances import records  # noqa: E402

NAMES = ('background', 'hook', 'clip')


class TwoFrames(InstanceDataset):
    """A hook of 20 x 20 px in both frames, a clip beside it in the second; sizes differ."""

    class_names = NAMES

    def __len__(self):
        return 2

    def __getitem__(self, index):
        masks = np.zeros((1 + index, 40, 60 + index), bool)
        masks[0, 5:25, 5:25] = True
        masks[index, 5:25, 35:55] |= index > 0
        return InstanceSample(
            f'frame{index}',
            np.full((40, 60 + index, 3), index, np.uint8),
            np.arange(1, 2 + index),
            masks,
        )


class Perfect:
    """Finds the hook in both frames, and no clip."""

    class_names = NAMES
    validation_threshold = 0.07

    def predict(self, image):
        masks = TwoFrames()[int(image[0, 0, 0])].masks[:1]
        return InstanceResult(np.array([1]), np.array([0.9]), mask_boxes(masks), masks)


def test_what_is_found_is_judged_by_class():
    metrics = evaluate_predictor(Perfect(), TwoFrames())
    assert metrics.ap == metrics.ap50 == pytest.approx(0.5)


class CrowdedFrames(TwoFrames):
    """With a crowd of hooks below those that one can tell apart."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        crowd = np.zeros((1, *sample.image.shape[:2]), bool)
        crowd[:, 26:] = True
        return sample._replace(crowd_ids=np.array([1]), crowd_masks=crowd)


class SeesTheCrowd(Perfect):
    """Finds the hook and, more surely, one in the crowd."""

    def predict(self, image):
        hook, crowd = super().predict(image), np.zeros((1, *image.shape[:2]), bool)
        crowd[:, 28:36, 10:30] = True
        masks = np.concatenate([crowd, hook.masks])
        return InstanceResult(np.array([1, 1]), np.array([0.95, 0.9]), mask_boxes(masks), masks)


def test_crowds_are_neither_right_nor_wrong_also_from_files(tmp_path):
    """COCO's rule for iscrowd, the same for weights and for the files that to-coco writes."""
    metrics = evaluate_predictor(SeesTheCrowd(), CrowdedFrames())
    assert metrics.ap == pytest.approx(0.5)
    assert evaluate_predictor(SeesTheCrowd(), TwoFrames()).ap < 0.3
    truth = write_coco(CrowdedFrames(), tmp_path, 'val')
    results = [SeesTheCrowd().predict(CrowdedFrames()[index].image) for index in range(2)]
    found = [
        one
        for number, result in enumerate(results, 1)
        for one in records(number, result.class_ids, result.masks, result.scores)
    ]
    (tmp_path / 'dt.json').write_text(json.dumps(found))
    assert str(evaluate(tmp_path / 'dt.json', truth)) == str(metrics)
    again = evaluate_predictor(SeesTheCrowd(), open_dataset('coco', tmp_path, 'val', 'instances'))
    assert str(again) == str(metrics)


def test_other_classes_are_refused():
    predictor = Perfect()
    predictor.class_names = ('background', 'clip', 'hook')
    with pytest.raises(
        ValueError,
        match=r'the weights are for 2 classes \(clip, hook\), the '
        r'dataset has 2 classes \(hook, clip\)',
    ):
        evaluate_predictor(predictor, TwoFrames())


@pytest.mark.parametrize(
    ('words', 'threshold'),
    [([], Perfect.validation_threshold), (['--score-threshold', '0.3'], 0.3)],
)
def test_the_command(tmp_path, monkeypatch, capsys, words, threshold):
    predictor, made = Perfect(), []

    def create(name, **options):
        made.append((name, options))
        return predictor

    monkeypatch.setattr(predictors, 'create', create)
    monkeypatch.setattr(dataset_arguments, 'open_dataset', lambda *_, **__: TwoFrames())
    command = [
        'evaluate',
        'instances',
        '--weights',
        str(tmp_path / 'w.pt'),
        '--model',
        'solo_r18',
        '--dataset',
        'simulated',
        '--root',
        str(tmp_path),
        '--json',
        str(tmp_path / 'figures.json'),
    ]
    assert cli.main([*command, *words]) == 0
    [(name, options)] = made
    assert (name, options['weights']) == ('solo_r18', str(tmp_path / 'w.pt'))
    assert predictor.score_threshold == threshold
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].split()[:2] == ['masks', '0.5000'] and 'protocol coco' in printed[0]
    assert json.loads((tmp_path / 'figures.json').read_text())['ap50'] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['--weights', 'w.pt'], '--dataset and --root are needed, too'),
        (['--pred', 'dt.json'], '--pred needs --truth'),
        (
            ['--weights', 'w.pt', '--dataset', 'coco', '--root', '.', '--option', 'fold'],
            '--option fold is not of the form NAME=VALUE',
        ),
        (
            ['--weights', 'w.pt', '--score-threshold', '7'],
            '--score-threshold is 7, expected 0 to 1',
        ),
    ],
)
def test_what_is_missing_is_said(words, sentence, capsys):
    assert cli.main(['evaluate', 'instances', *words]) == 2
    assert sentence in capsys.readouterr().err
