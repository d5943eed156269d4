"""semantic_node as a real process: what it publishes, refuses, survives and counts."""

import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from golden_recipe import fill_network
from harness import FRAME_ID, SECOND, Graph, graph, output, wait_for
from lifecycle_msgs.srv import GetState
from synthetic_stereo import raw_calibration, rectified_calibration, sloped_disparity, stereo_pair

from surgseg_ros import networks, predictors
from surgseg_ros.geometry.rectification import Rectifier
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.images import decode_image, decode_labels, decode_planes

torch = pytest.importorskip('torch', reason='networks need torch')

HEIGHT, WIDTH = 256, 320
FRAME = SECOND // 30
LEFT, RIGHT = stereo_pair(sloped_disparity(HEIGHT, WIDTH))
CLASSES = networks.spec('lwanet').class_names
KINDS = {
    'segmentation': 'sensor_msgs/msg/Image',
    'semantic/overlay': 'sensor_msgs/msg/Image',
    'segmentation/probabilities': 'sensor_msgs/msg/Image',
}
COUNTS = ('paired', 'out', 'dropped', 'rejected')


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('weights') / 'lwanet.pt'
    torch.save(fill_network(networks.create('lwanet')).state_dict(), path)
    return path


def start(node: Graph, weights: Path, size: str = f'{WIDTH}x{HEIGHT}', **parameters):
    process = node.start(
        'semantic_node', weights=str(weights), backend='openvino', image_size=size, **parameters
    )
    wait_for(lambda: node.status('semantic'), 90, node.report)
    return process


def connect(node: Graph, image: np.ndarray = LEFT):
    return node.connect_by(lambda: node.send_image(next(node.clock), image), 'semantic')


@pytest.fixture(scope='module')
def shared(weights: Path):
    """One running node for the tests that leave it as it was; only left images are sent to it."""
    with graph() as made:
        start(made, weights, outputs=['segmentation', 'overlay', 'probabilities'])
        for topic, kind in KINDS.items():
            made.listen(topic, kind)
        connect(made)
        yield made


@pytest.fixture
def own():
    with graph() as made:
        yield made


def exchange(node: Graph, image: np.ndarray = LEFT, timeout: float = 60.0, **options):
    stamp = next(node.clock)
    node.send_image(stamp, image, **options)
    return node.answer(stamp, 'segmentation', timeout)


@pytest.fixture(scope='module')
def predictor(weights: Path):
    return predictors.create('lwanet', weights=weights, backend='openvino')


# What comes out.


def test_all_outputs_are_those_of_the_predictor_with_stamp_and_frame(shared, predictor):
    stamp = next(shared.clock)
    shared.send_image(stamp, LEFT)
    found = {topic: shared.answer(stamp, topic) for topic in KINDS}
    assert {message.header.frame_id for message in found.values()} == {FRAME_ID}
    expected = predictor.predict(LEFT, probabilities=True)
    labels = decode_labels(found['segmentation'])
    np.testing.assert_array_equal(labels, expected.labels)
    assert len(np.unique(labels)) > 1, 'these weights shall tell pixels apart'
    planes = decode_planes(found['segmentation/probabilities'])
    assert found['segmentation/probabilities'].encoding == f'32FC{len(CLASSES)}'
    np.testing.assert_array_equal(np.moveaxis(planes, -1, 0), expected.probabilities)
    assert decode_image(found['semantic/overlay']).shape == LEFT.shape


def test_late_subscribers_get_the_class_names(shared):
    topic = 'segmentation/label_info'
    shared.listen(topic, 'vision_msgs/msg/LabelInfo', latched=True)
    info = wait_for(lambda: shared.received[topic])[0]
    assert [(entry.class_id, entry.class_name) for entry in info.class_map] == list(
        enumerate(CLASSES)
    )


def test_the_age_of_the_features_is_in_the_diagnostics(shared):
    exchange(shared)
    assert shared.fresh_values('semantic')['feature age [frames]'] == '0'


def test_another_image_size_is_prepared_when_it_comes(shared, predictor):
    small = np.ascontiguousarray(LEFT[:200, :300])
    np.testing.assert_array_equal(
        decode_labels(exchange(shared, small, timeout=60)), predictor.predict(small).labels
    )


# What comes in.


def test_an_image_that_is_none_is_refused_and_counted(shared):
    before, stamp = int(shared.fresh_values('semantic')['rejected']), next(shared.clock)
    header = messages.header(make_message, stamp, FRAME_ID)
    image = messages.image(make_message, header, LEFT, 'rgb8')
    image.data = image.data[:1000]
    shared.publish('left/image_rect', image)
    wait_for(lambda: int(shared.values('semantic').get('rejected', 0)) > before)
    status = shared.status('semantic')
    assert status.level == DiagnosticStatus.ERROR
    assert 'left image: a 320 x 256 rgb8 image needs' in status.message
    exchange(shared)
    assert stamp not in shared.stamps('segmentation')


def test_a_silent_camera_is_an_error(shared):
    exchange(shared)
    wait_for(
        lambda: shared.status('semantic').message == 'no image on /endoscope/left/image_rect', 5
    )
    exchange(shared)


def test_a_bag_loop_costs_no_frame(shared):
    first = next(shared.clock)
    stamps = [first + i * FRAME for i in range(15)]
    for _ in range(2):
        shared.received['segmentation'].clear()
        for stamp in stamps:
            shared.send_image(stamp, LEFT)
            shared.answer(stamp, 'segmentation')
    assert shared.stamps('segmentation') == stamps


def test_counts_are_exact(shared):
    exchange(shared)
    values = shared.fresh_values('semantic')
    counts = {name: int(values[name]) for name in COUNTS}
    assert counts['paired'] == int(values['left received']) - int(values['left out of order'])
    assert counts['paired'] == counts['out'] + counts['dropped'] + counts['rejected']
    assert counts['out'] > 0


# Parameters.


def test_outputs_change_while_it_runs_and_the_model_does_not(shared):
    def choose(*names):
        return shared.set_parameter('semantic', 'outputs', type=9, string_array_value=list(names))

    assert choose('segmentation').successful
    stamp = messages.stamp_of(exchange(shared))
    time.sleep(0.3)
    assert stamp not in shared.stamps('segmentation/probabilities')
    assert choose('segmentation', 'probabilities', 'overlay').successful
    shared.answer(messages.stamp_of(exchange(shared)), 'segmentation/probabilities')
    for refused, reason in (
        (
            shared.set_parameter('semantic', 'model', type=4, string_value='surgicalsam'),
            'configured',
        ),
        (
            shared.set_parameter('semantic', 'classes', type=7, integer_array_value=[9]),
            'classes has 9, expected ids from 1 to 7',
        ),
    ):
        assert not refused.successful
        assert reason in refused.reason


# Nodes of their own.


def test_at_30_hz_the_newest_wins_and_nothing_is_lost_from_the_books(own, weights):
    image = cv2.resize(LEFT, (640, 512))
    start(own, weights, '640x512', threads=1)
    own.listen('segmentation', KINDS['segmentation'])
    before = connect(own, image)
    first, begin = next(own.clock), time.monotonic()
    for i in range(120):
        time.sleep(max(0, begin + i / 30 - time.monotonic()))
        own.send_image(first + i * FRAME, image)
    values = own.fresh_values('semantic')
    counts = {name: int(values[name]) - int(before[name]) for name in COUNTS}
    assert counts['paired'] == counts['out'] + counts['dropped'] + counts['rejected'] > 60
    assert counts['rejected'] == 0
    assert counts['out'] == len(own.received['segmentation']) > 10
    stamps = own.stamps('segmentation')
    assert stamps == sorted(stamps)
    stages = ('image', 'preprocess', 'inference', 'postprocess', 'publish')
    work = sum(float(values[f'{stage} p50 [ms]']) for stage in stages)
    # Newest output: at most one frame and one computation old. (The median: the machine that runs
    # the tests is busy with them, too.)
    assert float(values['age p50 [ms]']) < 1.5 * (work + 1000 / 30)


def test_outputs_of_both_nodes_pair_on_one_grid_of_stamps(own, weights):
    start(own, weights, max_rate=5.0)
    own.start('stereo_node', max_rate=5.0, max_disparity=96)
    own.listen('segmentation', KINDS['segmentation'])
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    own.connect(rectified_calibration(WIDTH, HEIGHT), LEFT, RIGHT, 'stereo', 'semantic')
    first = next(own.clock)
    for i in range(40):
        own.send_pair(first + i * FRAME, LEFT, RIGHT)
        time.sleep(0.06)
    wait_for(lambda: len(own.received['disparity']) >= 6, 5, own.report)
    time.sleep(0.5)
    stamps = own.stamps('segmentation')
    assert 6 <= len(stamps) <= 8
    assert own.stamps('disparity') == stamps


def test_rectify_needs_the_left_camera_info_only(own, weights, predictor):
    calibration = raw_calibration(WIDTH, HEIGHT)
    own.listen('segmentation', KINDS['segmentation'])
    process = start(own, weights, rectify=True)
    header = messages.header(make_message, 0, FRAME_ID)
    info = messages.camera_info(make_message, header, calibration.left)

    def send():
        own.publish('left/camera_info', info)
        own.send_image(next(own.clock), LEFT, name='image_raw')

    wait_for(
        lambda: (
            own.send_image(next(own.clock), LEFT, name='image_raw')
            or time.sleep(0.1)
            or 'no camera_info yet on /endoscope/left/camera_info' in output(process)
        ),
        what=own.report,
    )
    own.connect_by(send, 'semantic')
    found = decode_labels(exchange(own, name='image_raw'))
    rectified, _ = Rectifier(calibration).rectify(LEFT, RIGHT)
    np.testing.assert_array_equal(found, predictor.predict(rectified).labels)
    assert (found != predictor.predict(LEFT).labels).any()


def test_class_names_may_be_given(own, weights):
    names = ['nothing', *'abcdefg']
    own.listen('segmentation/label_info', 'vision_msgs/msg/LabelInfo', latched=True)
    start(own, weights, class_names=names)
    info = wait_for(lambda: own.received['segmentation/label_info'], what=own.report)[0]
    assert [entry.class_name for entry in info.class_map] == names


@pytest.mark.parametrize(
    'content, words',
    [
        ({'layer.weight': torch.zeros(3)}, 'lwanet'),
        (b'this is no checkpoint', 'not a plain state_dict'),
    ],
)
def test_unusable_weights_fail_configuration_with_one_sentence(own, tmp_path, content, words):
    path = tmp_path / 'wrong.pt'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    process = start(own, path)
    status = own.status('semantic')
    assert status.level == DiagnosticStatus.ERROR
    assert words in status.message
    assert len([line for line in process.lines if 'ERROR' in line]) == 1
    assert 'Traceback' not in output(process)
    assert own.call(GetState, 'semantic/get_state').current_state.label == 'unconfigured'


def test_killed_and_started_again_it_goes_on(own, weights):
    own.listen('segmentation', KINDS['segmentation'])
    process = start(own, weights)
    connect(own)
    exchange(own)
    own.stop(process, signal.SIGKILL)
    start(own, weights)

    def alive():
        own.send_image(next(own.clock), LEFT)
        time.sleep(0.2)
        return len(own.received['segmentation']) > 1

    wait_for(alive, 30, own.report)


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_in_the_middle_of_work(own, weights, how):
    own.listen('segmentation', KINDS['segmentation'])
    process = start(own, weights)
    connect(own)
    for _ in range(10):
        own.send_image(next(own.clock), LEFT)
    assert own.stop(process, how) == 0
    assert 'Traceback' not in output(process)
