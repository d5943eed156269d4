"""Labels judged from a dataset, from folders and from a bag; the command's table and JSON."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import cv2
import numpy as np
import pytest
from fake_frames import fake_frames

from surgseg_ros import cli, predictors
from surgseg_ros.backends.runtime import Runtime
from surgseg_ros.bags import BagWriter
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.bags.types import make_message
from surgseg_ros.datasets import SegmentationDataset, SegmentationSample
from surgseg_ros.datasets.endovis17 import TYPES
from surgseg_ros.evaluation import segmentation
from surgseg_ros.evaluation.evaluators.segmentation import SegmentationEvaluator
from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.perception.semantic import SemanticSettings, SemanticStep
from surgseg_ros.rosdata import messages

NAMES = ('background', 'needle_driver', 'scissors')


class Blocks(SegmentationDataset):
    """Frames whose left third is class 1; class 2 is in the last one only."""

    class_names = NAMES

    def __len__(self):
        return 3

    def name(self, index):
        return f'case{index // 2}/frame{index}'

    def image(self, index):
        if index >= len(self):
            raise IndexError(index)
        return np.full((30, 60, 3), 40 * index, np.uint8)

    def labels(self, index):
        labels = np.zeros((30, 60), np.uint8)
        labels[:, :20] = 1
        labels[:, 50:] = 2 * (index == 2)
        return labels


class Shrinking:
    """Finds all of class 1 in the first frame, then half, then nothing."""

    class_names = NAMES

    def __init__(self, weights=None, **_):
        self.seen = 0

    def predict(self, image):
        labels = np.zeros(image.shape[:2], np.uint8)
        labels[:, : 20 - 10 * self.seen] = 1
        self.seen += 1
        return SemanticResult(labels)


def step_with(predictor):
    return SemanticStep(SemanticSettings(), predictor=predictor)


def evaluated(pairs, keep_pictures=False, protocol='summary'):
    evaluator = SegmentationEvaluator(NAMES, protocol, keep_pictures)
    for frame, result in pairs:
        evaluator.add(frame, result)
    return evaluator


def pair(name, found, truth):
    """A frame and a result of one row of class ids each."""
    found, truth = (np.array([row], np.uint8) for row in (found, truth))
    image = np.zeros((*truth.shape, 3), np.uint8)
    return SegmentationSample(name, image, truth), SemanticResult(found)


def test_figures_of_a_predictor_on_a_dataset():
    figures = evaluated(segmentation.predicted(step_with(Shrinking()), Blocks())).figures()
    classes = figures['classes']
    needle_driver, scissors = classes['needle_driver'], classes['scissors']
    assert (needle_driver['iou'], needle_driver['pixels']) == (0.5, 1800)
    assert needle_driver['dice'] == pytest.approx(2 / 3)
    assert (scissors['iou'], scissors['dice'], scissors['pixels']) == (0, 0, 300)
    assert scissors['boundary_f1'] == 0 < needle_driver['boundary_f1'] < 1
    assert figures['mean_iou'] == pytest.approx(0.25) and figures['frames'] == 3
    assert figures['surgicalsam']['challenge_iou'] == pytest.approx((1 + 0.5 + 0) / 3)
    assert figures['lwanet']['mean_iou'] == 1  # instruments taken for background count nowhere
    assert figures['challenge_by_sequence']['sequences'] == {'case0': 0.75, 'case1': 0}
    assert figures['challenge_by_sequence']['mean'] == pytest.approx(0.375)
    assert figures['challenge_by_sequence']['frame_mean'] == pytest.approx(0.5)


def test_one_class_is_judged_as_msdesis_does_too():
    """Frames with nothing in truth and prediction count as right; unlabelled pixels do not."""
    frames = [
        ('a/0', [0, 1, 1, 0], [0, 1, 0, 0]),
        ('a/1', [0, 0, 0, 1], [0, 0, 0, 255]),
        ('b/0', [1, 255, 0, 0], [1, 1, 1, 1]),
    ]
    evaluator = SegmentationEvaluator(('background', 'tool'))
    for name, found, truth in frames:
        evaluator.add(*pair(name, found, truth))
    figures = evaluator.figures()
    assert figures['msdesis']['sequences'] == pytest.approx({'a': 3 / 4, 'b': 1 / 4}, abs=1e-5)
    assert figures['msdesis']['iou'] == pytest.approx(1 / 2, abs=1e-5)
    assert dict(evaluator.table().rows)['msdesis'][0] == pytest.approx(50, abs=1e-3)
    assert (
        'msdesis'
        not in evaluated(segmentation.predicted(step_with(Shrinking()), Blocks())).figures()
    )


def test_table_and_json_know_what_was_not_counted():
    evaluator = evaluated([pair('empty', [0] * 4, [0] * 4)])
    figures = evaluator.figures()
    assert figures['classes']['scissors']['iou'] is None
    assert 'NaN' not in json.dumps(figures)
    assert evaluator.table().text().splitlines()[3].split() == ['scissors', '-', '-', '-']


def test_weights_of_other_classes_are_refused():
    predictor = SimpleNamespace(class_names=('background', 'tool'))
    with pytest.raises(ValueError, match=r'know 2 classes \(background, tool\), .* has 3'):
        next(segmentation.predicted(step_with(predictor), Blocks()))


def test_picture_shows_worst_median_and_best():
    evaluation = evaluated(
        segmentation.predicted(step_with(Shrinking()), Blocks()), keep_pictures=True
    )
    picture = evaluation.pictures()['frames']
    assert picture.shape == (3 * 240, 2 * 480, 3)
    blank = [picture[100 + 240 * row, 480:, :].astype(int) for row in range(3)]
    coloured = [(np.ptp(line, axis=-1) > 30).mean() for line in blank]
    assert coloured[0] < 0.02 < 0.1 < coloured[1] < coloured[2]  # nothing, half, all of it


def test_no_frames_are_an_error():
    with pytest.raises(ValueError, match='no frame to evaluate'):
        evaluated([]).figures()


# The command.


@pytest.fixture
def folders(tmp_path):
    for folder, width in (('truth', 10), ('found', 5)):
        (tmp_path / folder).mkdir()
        for index in range(2):
            labels = np.zeros((20, 20), np.uint8)
            labels[:, :width] = 2
            cv2.imwrite(str(tmp_path / folder / f'{index}.png'), labels)
    return tmp_path


def run(*words):
    return cli.main(['evaluate', 'segmentation', *map(str, words)])


def test_command_on_folders(folders, capsys):
    words = [
        '--pred',
        folders / 'found',
        '--truth',
        folders / 'truth',
        '--json',
        folders / 'figures.json',
        '--picture',
        folders / 'picture.png',
    ]
    assert run(*words) == 0
    assert rows(capsys)['class 2'][:2] == ['50.00', '66.67']
    figures = json.loads((folders / 'figures.json').read_text())
    assert figures['classes']['class 2']['iou'] == 0.5
    assert figures['classes']['class 1']['iou'] is None
    assert cv2.imread(str(folders / 'picture.png')) is not None
    assert run(*words[:4], '--class-names', 'background', 'wrist', 'jaw') == 0
    assert rows(capsys)['jaw'][:2] == ['50.00', '66.67']


def test_command_on_folders_of_sequences(tmp_path):
    """One frame of one sequence and two of another, half found and found."""
    for name, width in (('seq_1/0.png', 5), ('seq_2/0.png', 10), ('seq_2/1.png', 10)):
        for folder, columns in (('truth', 10), ('found', width)):
            labels = np.zeros((20, 20), np.uint8)
            labels[:, :columns] = 2
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / name), labels)
    words = ['--pred', tmp_path / 'found', '--truth', tmp_path / 'truth']
    assert run(*words, '--json', tmp_path / 'figures.json') == 0
    by_sequence = json.loads((tmp_path / 'figures.json').read_text())['challenge_by_sequence']
    assert by_sequence['sequences'] == {'seq_1': 0.5, 'seq_2': 1}
    assert by_sequence['mean'] == 0.75 and by_sequence['frame_mean'] == pytest.approx(2.5 / 3)


def test_command_on_a_dataset(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(predictors, 'create', lambda name, weights, **_: Shrinking(weights))
    monkeypatch.setattr(
        'surgseg_ros.datasets.open_dataset',
        lambda name, root, split, **options: options['fold'] == 1 and Blocks(),
    )
    assert (
        run(
            '--weights',
            'w.safetensors',
            '--dataset',
            'endovis17',
            '--root',
            tmp_path,
            '--option',
            'fold=1',
        )
        == 0
    )
    assert rows(capsys)['needle_driver'][:2] == ['50.00', '66.67']


class Prompted:
    """Believes whoever says which classes there are; keeps what it was made with and told."""

    class_names = NAMES
    own_thresholds: ClassVar = {'quality_threshold': 0.5, 'presence_threshold': 0.5}

    def __init__(self, name, **options):
        self.name, self.options, self.told = name, options, []

    def reset(self):
        """Nothing is remembered."""

    def predict(self, image, class_ids=()):
        self.told.append([int(number) for number in class_ids])
        return SemanticResult(np.zeros(image.shape[:2], np.uint8))


@pytest.mark.parametrize(
    ('mode', 'told'),
    [(['--mode', 'published'], [[1], [1], [1, 2]]), (['--mode', 'all'], [[]] * 3), ([], [[]] * 3)],
)
def test_command_gives_surgicalsam_its_options_and_the_classes_of_the_truth(
    monkeypatch, tmp_path, mode, told
):
    made = []
    monkeypatch.setattr(
        predictors,
        'create',
        lambda name, **options: made.append(Prompted(name, **options)) or made[0],
    )
    monkeypatch.setattr('surgseg_ros.datasets.open_dataset', lambda *_: Blocks())
    assert (
        cli.main(
            [
                'evaluate',
                'semantic',
                '--dataset',
                'endovis18',
                '--root',
                str(tmp_path),
                '--model',
                'surgicalsam',
                '--weights',
                'model_ckp.pth',
                '--sam-weights',
                'sam.pth',
                '--presence-threshold',
                '0.25',
                '--backend',
                'torch',
                *mode,
            ]
        )
        == 0
    )
    assert made[0].name == 'surgicalsam' and made[0].told == told
    assert made[0].options == {
        'encoder_size': None,
        'weights': 'model_ckp.pth',
        'sam_weights': 'sam.pth',
        'runtime': Runtime('torch'),
        **({'mode': mode[1]} if mode else {}),
    }
    assert (made[0].quality_threshold, made[0].presence_threshold) == (0.5, 0.25)


def test_command_uses_the_weights_of_the_package(monkeypatch, tmp_path, capsys):
    made = {}
    monkeypatch.setattr(
        predictors, 'create', lambda name, **options: made.update(options) or Prompted(name)
    )
    monkeypatch.setattr('surgseg_ros.datasets.open_dataset', lambda *_: Blocks())
    words = ['--dataset', 'simulated', '--root', tmp_path]
    assert run(*words) == 0
    assert made['weights'] is None  # predictors.create takes those of the package
    assert run(*words, '--mode', 'published') != 0
    assert '--mode is for --model surgicalsam, not lwanet' in capsys.readouterr().err


def rows(capsys):
    """Lines of the printed table, by their names."""
    lines = [line.rsplit(None, 3) for line in capsys.readouterr().out.splitlines()]
    return {line[0].strip(): line[1:] for line in lines}


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--pred', 'found'], '--pred needs --truth'),
        (['bag', '--weights', 'w'], '--weights needs --dataset and --root'),
        (['--dataset', 'cata7'], '--dataset needs --root'),
        (['--pred', 'found', '--truth', 'nowhere'], 'expected label images'),
        (['--pred', '.', '--truth', 'truth'], 'has no 0.png, which is in'),
    ],
)
def test_command_says_what_is_missing(folders, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folders)
    assert run(*words) != 0
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error


def bag_with_labels(path: Path, class_names=None, shift=0) -> Path:
    """Fake frames, and of each but the last its true classes moved down by `shift` rows."""
    frames = fake_frames()
    with BagWriter(path) as writer:
        for frame in frames:
            write_frame(writer, frame)
        for frame in frames[:-1]:
            header = messages.header(make_message, frame.stamp, frame.frame_id)
            labels = 2 * (frame.truth.instances > 0).astype(np.uint8)
            image = messages.image(make_message, header, np.roll(labels, shift, axis=0), 'mono8')
            writer.write(segmentation.TOPIC, 'sensor_msgs/msg/Image', image, frame.stamp)
        if class_names:
            info = messages.label_info(make_message, header, class_names)
            writer.write(
                f'{segmentation.TOPIC}/label_info', 'vision_msgs/msg/LabelInfo', info, frame.stamp
            )
    return path


def test_command_on_a_bag(tmp_path, capsys):
    bag = bag_with_labels(tmp_path / 'bag', ('background', 'scissors', 'needle_driver'), shift=4)
    assert run(bag, '--json', tmp_path / 'figures.json') == 0
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert figures['frames'] == 3
    # Two tools 8 rows high, moved by 4: a third of the union is right.
    assert figures['classes']['needle_driver']['iou'] == pytest.approx(1 / 3)
    assert figures['classes']['needle_driver']['pixels'] == 3 * 2 * 160
    assert rows(capsys)['scissors'] == ['-', '-', '-']


def test_a_bag_without_label_info_has_endovis17s_classes(tmp_path):
    names, judged = segmentation.recorded(bag_with_labels(tmp_path / 'bag'))
    assert names == TYPES
    with pytest.raises(ValueError, match="needle_driver is none of the labels' classes"):
        list(judged)


def test_classes_of_true_instruments():
    frame = fake_frames(1)[0]
    one = segmentation.true_classes(frame, ('tissue', 'tool'))
    np.testing.assert_array_equal(one, frame.truth.instances > 0)
    tools = [
        replace(tool, class_name=name)
        for tool, name in zip(frame.truth.tools, NAMES[1:], strict=True)
    ]
    truth = replace(frame.truth, tools=tuple(tools))
    np.testing.assert_array_equal(
        segmentation.true_classes(replace(frame, truth=truth), NAMES), frame.truth.instances
    )
