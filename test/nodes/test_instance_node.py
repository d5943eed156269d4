"""instance_node as a real process: what it publishes, how it tracks, refuses and counts."""

import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from golden_recipe import fill_network
from harness import FRAME_ID, SECOND, Graph, graph, output, wait_for
from lifecycle_msgs.srv import GetState
from synthetic_stereo import sloped_disparity, stereo_pair

from surgseg_ros import networks, predictors
from surgseg_ros.datasets.endovis17 import CLASS_NAMES
from surgseg_ros.networks.bundled import bundled_weights
from surgseg_ros.networks.card import Card
from surgseg_ros.predictors.parts import PartsPredictor
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.images import decode_image
from surgseg_ros.tracking.instance_tracker import InstanceTracker

torch = pytest.importorskip('torch', reason='networks need torch')

HEIGHT, WIDTH = 128, 160
FRAME = SECOND // 30
LEFT = stereo_pair(sloped_disparity(HEIGHT, WIDTH))[0]
NAMES = ('background', 'grasper', 'scissors')
KINDS = {
    'instances': 'surgseg_ros/msg/InstrumentInstances',
    'detections': 'vision_msgs/msg/Detection2DArray',
    'instance/overlay': 'sensor_msgs/msg/Image',
}
COUNTS = ('paired', 'out', 'dropped', 'rejected')
THRESHOLD, MOST = 0.4, 5  # random weights find dozens of things, five of them that good


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SOLO that has learned nothing, with a card."""
    from safetensors.torch import save_file

    options = {'num_classes': 2, 'width': 32, 'depth': 1, 'grids': (6, 5, 4, 3, 2)}
    network = fill_network(networks.create('solo_mobilenet', **options))
    card = Card('solo_mobilenet', options, NAMES, {'input_size': [64, 96]})
    path = tmp_path_factory.mktemp('weights') / 'small.safetensors'
    save_file(network.state_dict(), path, metadata=card.metadata())
    return path


@pytest.fixture(scope='module')
def part_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LWANet of EndoVis' parts that has learned nothing, with a card."""
    from safetensors.torch import save_file

    options = {'num_classes': len(CLASS_NAMES['parts'])}
    network = fill_network(networks.create('lwanet', **options))
    card = Card('lwanet', options, CLASS_NAMES['parts'], {'input_size': [64, 96]})
    path = tmp_path_factory.mktemp('weights') / 'parts.safetensors'
    save_file(network.state_dict(), path, metadata=card.metadata())
    return path


@pytest.fixture(scope='module')
def predictor(weights: Path):
    return predictors.create('solo_mobilenet', weights=weights, backend='openvino', threads=1)


def start(node: Graph, weights: Path, size: str = f'{WIDTH}x{HEIGHT}', **parameters):
    given = {
        'score_threshold': THRESHOLD,
        'final_threshold': 0.05,
        'max_instances': MOST,
        'max_overlap': 1.0,
        **parameters,
    }
    process = node.start(
        'instance_node',
        weights=str(weights),
        backend='openvino',
        threads=1,
        image_size=size,
        **given,
    )
    wait_for(lambda: node.status('instance'), 90, node.report)
    return process


def connect(node: Graph, image: np.ndarray = LEFT):
    return node.connect_by(lambda: node.send_image(next(node.clock), image), 'instance')


@pytest.fixture(scope='module')
def shared(weights: Path):
    """One running node for the tests that leave it as it was."""
    with graph() as made:
        start(made, weights)
        for topic, kind in KINDS.items():
            made.listen(topic, kind)
        connect(made)
        yield made


@pytest.fixture
def own():
    with graph() as made:
        yield made


def send(node: Graph, stamp: int, image: np.ndarray = LEFT):
    node.send_image(stamp, image)
    return node.answer(stamp, 'instances')


def settled(node: Graph):
    """Counts of a node that has worked off what was sent to it."""
    while (values := node.fresh_values('instance'))['out'] != node.fresh_values('instance')['out']:
        pass
    return values


def track_ids(message) -> list[int]:
    return [instance.track_id for instance in message.instances]


def begin_epoch(node: Graph) -> int:
    """Return a stamp far enough before all others."""
    return node.received['instances'][-1].header.stamp.sec * SECOND // 2


# What comes out.


def test_masks_boxes_and_picture_are_those_of_the_predictor(shared, predictor):
    stamp = next(shared.clock)
    shared.send_image(stamp, LEFT)
    found = {topic: shared.answer(stamp, topic) for topic in KINDS}
    assert {message.header.frame_id for message in found.values()} == {FRAME_ID}
    expected = predictor.predict(LEFT)
    assert (expected.scores[:MOST] > THRESHOLD).all() and len(expected.scores) > MOST
    message = found['instances']
    assert (message.height, message.width, len(message.instances)) == (HEIGHT, WIDTH, MOST)
    for index, (instance, detection) in enumerate(
        zip(message.instances, found['detections'].detections, strict=True)
    ):
        parts = messages.instance_parts(instance, HEIGHT, WIDTH)
        np.testing.assert_array_equal(parts, 255 * expected.masks[index].astype(np.uint8))
        assert instance.class_id == expected.class_ids[index]
        assert instance.class_name == NAMES[instance.class_id]
        assert instance.score == expected.scores[index]
        assert instance.track_id > 0 and detection.id == str(instance.track_id)
        box, x0 = detection.bbox, detection.bbox.center.position.x
        y0 = box.center.position.y - box.size_y / 2
        assert (x0 - box.size_x / 2, y0, x0 + box.size_x / 2, y0 + box.size_y) == tuple(
            expected.boxes[index]
        )
        hypothesis = detection.results[0].hypothesis
        assert (hypothesis.class_id, hypothesis.score) == (str(instance.class_id), instance.score)
        assert detection.header == message.header
    picture = decode_image(found['instance/overlay'])
    assert (picture != LEFT).any(axis=2)[expected.masks[:MOST].any(axis=0)].mean() > 0.9


def test_late_subscribers_get_the_class_names(shared):
    topic = 'instances/label_info'
    shared.listen(topic, 'vision_msgs/msg/LabelInfo', latched=True)
    info = wait_for(lambda: shared.received[topic])[0]
    assert [(entry.class_id, entry.class_name) for entry in info.class_map] == list(
        enumerate(NAMES)
    )


def test_nothing_found_is_published_too(shared):
    shared.set_parameter('instance', 'score_threshold', type=3, double_value=1.0)
    stamp = next(shared.clock)
    message = send(shared, stamp)
    assert (message.height, message.width, message.instances) == (HEIGHT, WIDTH, [])
    assert shared.answer(stamp, 'detections').detections == []
    np.testing.assert_array_equal(decode_image(shared.answer(stamp, 'instance/overlay')), LEFT)
    shared.set_parameter('instance', 'score_threshold', type=3, double_value=THRESHOLD)
    assert len(send(shared, next(shared.clock)).instances) == MOST


def test_masks_say_where_the_parts_are(own, weights, part_weights, predictor):
    start(own, weights, parts_weights=str(part_weights))
    for topic in ('instances', 'detections'):
        own.listen(topic, KINDS[topic])
    connect(own)
    message = send(own, next(own.clock))
    expected = (
        PartsPredictor.from_weights(predictor, part_weights, backend='openvino', threads=1)
        .predict(LEFT)
        .best(MOST)
    )
    assert len(np.unique(expected.parts)) > 2
    for instance, parts, box in zip(
        message.instances, expected.parts, expected.boxes.astype(int), strict=True
    ):
        x0, y0, x1, y1 = box
        roi = instance.roi
        assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (x0, y0, x1 - x0, y1 - y0)
        np.testing.assert_array_equal(
            np.reshape(instance.mask, (roi.height, roi.width)), parts[y0:y1, x0:x1]
        )
    assert len(own.answer(messages.stamp_of(message), 'detections').detections) == MOST
    assert float(own.fresh_values('instance')['parts p50 [ms]']) > 0


def test_a_higher_final_threshold_hides_what_has_less(shared, predictor):
    before = [one.score for one in send(shared, next(shared.clock)).instances]
    middle = (before[2] + before[3]) / 2
    shared.set_parameter('instance', 'final_threshold', type=3, double_value=middle)
    found = [one.score for one in send(shared, next(shared.clock)).instances]
    shared.set_parameter('instance', 'final_threshold', type=3, double_value=0.05)
    assert found == before[:3] and len(before) == MOST


# Tracks.


def test_ids_are_those_of_the_tracker_and_a_bag_loop_begins_anew(shared, predictor):
    send(shared, next(shared.clock))
    first, step = begin_epoch(shared), 3
    expected, tracker = [], InstanceTracker()
    images = [np.roll(LEFT, step * index, axis=1) for index in range(8)]
    for index, image in enumerate(images):
        result = predictor.predict(image).best(MOST, THRESHOLD)
        expected.append(tracker.update(index / 30, result.class_ids, result.masks).tolist())
    assert expected[0] == list(range(1, MOST + 1))
    assert set(expected[0]) & set(expected[-1]), 'something is tracked to the end'
    for _ in range(2):
        found = [
            track_ids(send(shared, first + index * FRAME, image))
            for index, image in enumerate(images)
        ]
        assert found == expected
        shared.received['instances'].clear()  # the second time has the same stamps


def test_a_gap_of_max_gap_frames_is_survived_and_no_longer_one(shared):
    def score_threshold(value):
        assert shared.set_parameter(
            'instance', 'score_threshold', type=3, double_value=value
        ).successful

    before = track_ids(send(shared, next(shared.clock)))
    for gap, same in ((3, True), (4, False)):
        shared.set_parameter('instance', 'max_gap', type=2, integer_value=3)
        score_threshold(1.0)
        for _ in range(gap):
            assert not send(shared, next(shared.clock)).instances
        score_threshold(THRESHOLD)
        after = track_ids(send(shared, next(shared.clock)))
        assert (after == before) is same
        assert same or min(after) > max(before)
    shared.set_parameter('instance', 'max_gap', type=2, integer_value=10)
    for _ in range(60):
        next(shared.clock)
    assert track_ids(send(shared, next(shared.clock))) == list(range(1, MOST + 1)), (
        'a gap in time begins anew'
    )


def test_two_seconds_without_a_subscriber_begin_anew(shared):
    def publish(*outputs):
        assert shared.set_parameter(
            'instance', 'outputs', type=9, string_array_value=outputs
        ).successful

    for max_gap, threshold in ((0, 1.0), (10, THRESHOLD)):  # an image without any: other ids
        shared.set_parameter('instance', 'max_gap', type=2, integer_value=max_gap)
        shared.set_parameter('instance', 'score_threshold', type=3, double_value=threshold)
        before = track_ids(send(shared, next(shared.clock)))
    assert min(before) > 1 and track_ids(send(shared, next(shared.clock))) == before
    publish()  # as without a subscriber; the images go on
    for _ in range(60):
        shared.send_image(next(shared.clock), LEFT)
        time.sleep(0.01)
    publish(*('instances', 'detections', 'overlay'))
    assert track_ids(send(shared, next(shared.clock))) == list(range(1, MOST + 1))


def test_without_tracking_there_are_no_ids(shared):
    for tracking in (False, True):
        shared.set_parameter('instance', 'tracking', type=1, bool_value=tracking)
        stamp = next(shared.clock)
        found = track_ids(send(shared, stamp))
        assert found == (list(range(1, MOST + 1)) if tracking else [0] * MOST)
        assert [one.id for one in shared.answer(stamp, 'detections').detections] == [
            str(number or '') for number in found
        ]


# Counts, parameters, faults.


def test_counts_are_exact_and_tracking_is_timed(shared):
    send(shared, next(shared.clock))
    values = shared.fresh_values('instance')
    counts = {name: int(values[name]) for name in COUNTS}
    assert counts['paired'] == int(values['left received']) - int(values['left out of order'])
    assert counts['paired'] == counts['out'] + counts['dropped'] + counts['rejected']
    assert counts['out'] > 0
    assert float(values['track p50 [ms]']) > 0


def test_wrong_parameters_are_refused_while_it_runs(shared):
    for name, value, words in (
        ('score_threshold', {'type': 3, 'double_value': 1.5}, ''),
        ('max_instances', {'type': 2, 'integer_value': 0}, ''),
        ('model', {'type': 4, 'string_value': 'solo_r50'}, 'configured'),
    ):
        refused = shared.set_parameter('instance', name, **value)
        assert not refused.successful and words in refused.reason


def test_at_30_hz_the_newest_wins_and_nothing_is_lost_from_the_books(own, weights):
    start(own, weights)
    own.listen('instances', KINDS['instances'])
    connect(own)
    before = settled(own)
    own.received['instances'].clear()
    first, begin = next(own.clock), time.monotonic()
    for index in range(90):
        time.sleep(max(0, begin + index / 30 - time.monotonic()))
        own.send_image(first + index * FRAME, LEFT)
    values = settled(own)
    counts = {name: int(values[name]) - int(before[name]) for name in COUNTS}
    assert counts['paired'] == counts['out'] + counts['dropped'] + counts['rejected'] > 45
    assert counts['rejected'] == 0
    assert counts['out'] == len(own.received['instances']) > 10
    stamps = own.stamps('instances')
    assert stamps == sorted(stamps)
    stages = ('image', 'preprocess', 'inference', 'postprocess', 'track', 'publish')
    work = sum(float(values[f'{stage} p50 [ms]']) for stage in stages)
    # as in test_semantic_node: at most one frame and one computation old
    assert float(values['age p50 [ms]']) < 1.5 * (work + 1000 / 30)


def test_what_comes_with_the_package_is_the_default(own):
    own.start('instance_node', image_size='160x128', threads=1)
    wait_for(lambda: own.status('instance'), 90, own.report)
    own.listen('instances', KINDS['instances'])
    assert own.status('instance').level == DiagnosticStatus.OK
    connect(own)
    assert (send(own, next(own.clock)).height, own.values('instance')['rejected']) == (HEIGHT, '0')


def test_a_model_that_comes_without_weights_needs_some(own):
    refused(
        own,
        start(own, '', model='solo_r18'),
        'solo_r18 needs weights: its authors publish none, train some',
    )


@pytest.mark.parametrize(
    'content, words',
    [
        ({'layer.weight': torch.zeros(3)}, 'solo_mobilenet'),
        (b'this is no checkpoint', 'not a plain state_dict'),
    ],
)
def test_unusable_weights_fail_configuration_with_one_sentence(own, tmp_path, content, words):
    path = tmp_path / 'wrong.pt'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    refused(own, start(own, path), words)


def refused(own, process, words):
    """The node says why in one sentence, and waits to be configured again."""
    status = own.status('instance')
    assert status.level == DiagnosticStatus.ERROR
    assert words in status.message
    assert len([line for line in process.lines if 'ERROR' in line]) == 1
    assert 'Traceback' not in output(process)
    assert own.call(GetState, 'instance/get_state').current_state.label == 'unconfigured'


def test_weights_of_parts_without_parts_fail_configuration_with_one_sentence(own, weights):
    process = start(own, weights, parts_weights=str(bundled_weights('lwanet')))
    status = own.status('instance')
    assert status.level == DiagnosticStatus.ERROR
    assert 'the network of parts has no class shaft, wrist, clasper or jaw' in status.message
    assert 'Traceback' not in output(process)
