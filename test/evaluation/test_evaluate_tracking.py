"""Track ids on the simulated sequence in which three instruments of one kind cross."""

import json

import numpy as np
import pytest

pytest.importorskip('mujoco')

from surgseg_ros import cli
from surgseg_ros.evaluation.tracking import evaluate, with_true_masks
from surgseg_ros.evaluation.true_instances import true_instances
from surgseg_ros.frames.tool_pose import KeypointKind
from surgseg_ros.networks.bundled import bundled_weights
from surgseg_ros.simulation import VirtualEndoscope, crossing

SIZE = (320, 256)


@pytest.fixture(scope='module')
def frames():
    """Time, truth and instances of the 300 frames."""
    with VirtualEndoscope(*SIZE, **crossing.OPTIONS) as endoscope:
        return list(with_true_masks(endoscope, crossing.FRAMES))


@pytest.fixture(scope='module')
def tips(frames):
    """Frames x instruments: where the tips are from left to right, m."""
    return np.array(
        [[tool.point(KeypointKind.JAW_TIPS)[0] for tool in truth.tools] for _, truth, _ in frames]
    )


def test_instruments_of_one_kind_change_sides_and_cover_each_other(frames, tips):
    order = np.argsort(tips, axis=1)
    assert (order[1:] != order[:-1]).any(axis=1).sum() >= 12, 'changes of the order from the left'
    assert {tool.class_id for _, truth, _ in frames for tool in truth.tools} == {3}
    # the first instrument alone moves as it does beside the others, which pass over it
    alone = {**crossing.OPTIONS, 'kinds': crossing.OPTIONS['kinds'][:1]}
    with VirtualEndoscope(*SIZE, **alone) as endoscope:
        whole = [
            np.count_nonzero(endoscope.truth(index).instances)
            for index in range(0, crossing.FRAMES, 5)
        ]
    visible = [np.count_nonzero(truth.instances == 1) for _, truth, _ in frames[::5]]
    hidden = 1 - np.divide(visible, whole)
    assert hidden.min() > -1e-9
    assert (hidden > 0.05).sum() >= 15, 'of 60 frames looked at'
    assert hidden.max() > 0.2


def test_true_masks_keep_their_ids(frames):
    metrics = evaluate(iter(frames)).metrics()
    assert (metrics.truths, metrics.identity_switches) == (3 * crossing.FRAMES, 0)
    assert (metrics.mota, metrics.idf1) == (1.0, 1.0)


@pytest.mark.parametrize('period, lag', [(25, 7), (40, 17)])
def test_gaps_of_ten_frames_cost_no_id(frames, period, lag):
    def lossy():
        for index, (seconds, truth, (class_ids, masks)) in enumerate(frames):
            numbers, _ = true_instances(truth)
            kept = (index + lag * numbers) % period >= 10
            yield seconds, truth, (class_ids[kept], masks[kept])

    metrics = evaluate(lossy()).metrics()
    assert metrics.identity_switches == 0
    assert metrics.misses > 200


def test_numbers_by_place_do_switch(frames, tips):
    """What the tracker is worth: without it, the order from the left to the right."""
    from surgseg_ros.metrics.tracking import TrackingScore

    score = TrackingScore()
    for (_, truth, (_, masks)), places in zip(frames, tips, strict=True):
        numbers, (_, true_masks) = true_instances(truth)
        score.add(numbers, true_masks, np.argsort(np.argsort(places[numbers - 1])), masks)
    assert score.metrics().identity_switches > 20


def test_crossing_moves_the_instruments_and_truth_needs_no_picture():
    options = {'seed': 4, 'rate': 15.0, 'threads': 1}
    with (
        VirtualEndoscope(64, 48, **options) as apart,
        VirtualEndoscope(64, 48, crossing=5.0, **options) as crossed,
    ):
        poses = [endoscope.truth(9).tools[0].shaft for endoscope in (apart, crossed)]
        assert np.abs(poses[0] - poses[1]).max() > 1e-3
        for name in ('instances', 'parts', 'disparity'):
            np.testing.assert_array_equal(
                getattr(crossed.truth(9), name), getattr(crossed.render_left(9)[1], name)
            )
    with pytest.raises(ValueError, match='crossing is -1 s, expected 0'):
        VirtualEndoscope(64, 48, crossing=-1)


# The command.

WEIGHTS = bundled_weights('solo_mobilenet')


def test_the_command_tracks_true_masks_and_predicted_ones(tmp_path, capsys):
    pytest.importorskip('torch', reason='networks need torch')
    figures = tmp_path / 'figures.json'
    assert (
        cli.main(
            [
                'evaluate',
                'tracking',
                '--weights',
                str(WEIGHTS),
                '--frames',
                '3',
                '--score-threshold',
                '0.2',
                '--json',
                str(figures),
            ]
        )
        == 0
    )
    found = json.loads(figures.read_text())
    assert list(found) == ['true masks', 'solo_mobilenet'], 'the card says which network'
    true, predicted = found.values()
    assert true['mota'] == true['idf1'] == 1.0
    assert predicted['truths'] == true['truths'] == 9
    assert 0 < predicted['misses'] < 9, 'weak weights find one of the three, with scores near 0.3'
    wrong = sum(predicted[name] for name in ('misses', 'false_positives', 'identity_switches'))
    assert predicted['mota'] == pytest.approx(1 - wrong / 9)
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ['mot', 'true', 'solo_mobilenet']


@pytest.mark.parametrize(
    'words, sentence',
    [
        (['--score-threshold', '7'], '--score-threshold is 7, expected 0 to 1'),
        (['--score-threshold', 'nan'], '--score-threshold is nan, expected 0 to 1'),
        (
            ['--weights', 'w.pt'],
            'w.pt has no card that says of which network they are: give --model',
        ),
        (
            ['--weights', str(WEIGHTS), '--model', 'fassst_small'],
            'are weights of solo_mobilenet, not of fassst_small',
        ),
    ],
)
def test_what_cannot_be_is_refused(words, sentence, capsys):
    assert cli.main(['evaluate', 'tracking', '--frames', '1', *words]) == 2
    assert sentence in capsys.readouterr().err
