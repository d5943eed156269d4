"""stereo_node as a real process: what it publishes, refuses, survives and counts."""

import signal
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from harness import FRAME_ID, SECOND, Graph, graph, output, wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters
from synthetic_stereo import raw_calibration, rectified_calibration, sloped_disparity, stereo_pair

from surgseg_ros import predictors
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.images import decode_float, decode_image
from surgseg_ros.rosdata.messages import cloud_from_message, disparity_from_message

HEIGHT, WIDTH = 256, 320
FRAME = SECOND // 30
CALIBRATION = rectified_calibration(WIDTH, HEIGHT)
TRUTH = sloped_disparity(HEIGHT, WIDTH)
LEFT, RIGHT = stereo_pair(TRUTH)


@pytest.fixture(scope='module')
def shared() -> Graph:
    """One running node for the tests that leave it as it was."""
    with graph() as made:
        made.start('stereo_node', max_disparity=96)
        made.listen('disparity', 'stereo_msgs/msg/DisparityImage')
        made.connect(CALIBRATION, LEFT, RIGHT)
        yield made


def answer(node: Graph, stamp: int, topic: str = 'disparity'):
    return node.answer(stamp, topic)


def exchange(node: Graph, left: np.ndarray = LEFT, right: np.ndarray = RIGHT, **options):
    stamp = next(node.clock)
    node.send_pair(stamp, left, right, **options)
    return answer(node, stamp)


# What comes out.


def test_disparity_is_that_of_the_predictor_with_stamp_frame_and_geometry(shared):
    message = exchange(shared)
    expected = predictors.create('sgbm', max_disparity=96).predict(LEFT, RIGHT).disparity
    np.testing.assert_array_equal(disparity_from_message(message), expected)
    assert message.header.frame_id == FRAME_ID
    assert message.f == CALIBRATION.focal_length
    assert message.t == pytest.approx(CALIBRATION.baseline)
    assert np.nanmean(np.abs(expected - TRUTH)) < 0.5


def test_depth_points_and_overlay_come_when_somebody_subscribes(shared):
    for topic, kind in (
        ('depth', 'sensor_msgs/msg/Image'),
        ('stereo/overlay', 'sensor_msgs/msg/Image'),
        ('points2', 'sensor_msgs/msg/PointCloud2'),
    ):
        shared.listen(topic, kind)
    time.sleep(0.5)
    stamp = messages.stamp_of(exchange(shared))
    depth = decode_float(answer(shared, stamp, 'depth'))
    strength = CALIBRATION.focal_length * CALIBRATION.baseline
    known = np.isfinite(depth)
    assert known.mean() > 0.7
    assert np.median(np.abs(depth - strength / TRUTH)[known]) < 1e-3
    cloud = cloud_from_message(answer(shared, stamp, 'points2'))
    np.testing.assert_array_equal(cloud['z'], depth)
    assert decode_image(answer(shared, stamp, 'stereo/overlay')).shape == LEFT.shape


# What comes in.


def as_encoding(rgb: np.ndarray, encoding: str) -> np.ndarray:
    conversions = {
        'bgr8': cv2.COLOR_RGB2BGR,
        'rgba8': cv2.COLOR_RGB2RGBA,
        'bgra8': cv2.COLOR_RGB2BGRA,
        'mono8': cv2.COLOR_RGB2GRAY,
    }
    if encoding.startswith('yuv422'):  # of a grey image: no chroma, luma 16 to 235
        luma = (16 + rgb[..., 0] * (219 / 255)).round().astype(np.uint8)
        chroma = np.full_like(luma, 128)
        planes = (luma, chroma) if encoding == 'yuv422_yuy2' else (chroma, luma)
        return np.stack(planes, axis=-1)
    if encoding.startswith('bayer'):
        mosaic = np.empty(rgb.shape[:2], np.uint8)
        pattern = ['rgb'.index(letter) for letter in encoding[6:10]]
        for i, channel in enumerate(pattern):
            mosaic[i // 2 :: 2, i % 2 :: 2] = rgb[i // 2 :: 2, i % 2 :: 2, channel]
        return mosaic
    if encoding == 'mono16':
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257
    return cv2.cvtColor(rgb, conversions[encoding]) if encoding in conversions else rgb


@pytest.mark.parametrize(
    'encoding',
    [
        'bgr8',
        'rgba8',
        'bgra8',
        'mono8',
        'mono16',
        'bayer_rggb8',
        'bayer_gbrg8',
        'yuv422',
        'yuv422_yuy2',
    ],
)
def test_encodings(shared, encoding):
    grey = [
        cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        for image in (LEFT, RIGHT)
    ]
    message = exchange(
        shared, *(as_encoding(image, encoding) for image in grey), encoding=encoding
    )
    error = np.abs(disparity_from_message(message) - TRUTH)
    assert np.nanmedian(error) < 0.3
    assert np.isfinite(error).mean() > 0.7


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8'])
def test_colours_arrive_in_the_cloud_as_they_are(shared, encoding):
    if 'points2' not in shared.received:
        shared.listen('points2', 'sensor_msgs/msg/PointCloud2')
        time.sleep(0.5)
    stamp = next(shared.clock)
    shared.send_pair(
        stamp, *(as_encoding(image, encoding) for image in (LEFT, RIGHT)), encoding=encoding
    )
    colours = cloud_from_message(answer(shared, stamp, 'points2'))['rgb'].copy().view(np.uint32)
    red, green, blue = (LEFT[..., channel].astype(np.uint32) for channel in range(3))
    np.testing.assert_array_equal(colours, red << 16 | green << 8 | blue)


def rejected(node: Graph) -> int:
    return int(node.values('stereo').get('rejected', 0))


def assert_refuses_then_recovers(node: Graph, send, words: str) -> None:
    """`send(stamp)` gives no output but ERROR with these words; the next good pair comes out."""
    before, stamp = int(node.fresh_values('stereo')['rejected']), next(node.clock)
    send(stamp)
    wait_for(lambda: rejected(node) > before, what='a rejection')
    status = node.status('stereo')
    assert status.level == DiagnosticStatus.ERROR
    assert words in status.message
    assert stamp not in node.stamps('disparity')
    node.send_info(CALIBRATION)
    time.sleep(0.1)
    exchange(node)


def test_unknown_encoding(shared):
    def send(stamp):
        header = messages.header(make_message, stamp, FRAME_ID)
        image = messages.image(make_message, header, LEFT, 'rgb8')
        image.encoding = 'nv24'
        for side in ('left', 'right'):
            shared.publish(f'{side}/image_rect', image)

    assert_refuses_then_recovers(shared, send, "encoding 'nv24' is not supported")


def test_truncated_image(shared):
    def send(stamp):
        header = messages.header(make_message, stamp, FRAME_ID)
        image = messages.image(make_message, header, LEFT, 'rgb8')
        image.data = image.data[:1000]
        for side in ('left', 'right'):
            shared.publish(f'{side}/image_rect', image)

    assert_refuses_then_recovers(shared, send, 'left image')


def with_right(**changes):
    return replace(CALIBRATION, right=replace(CALIBRATION.right, **changes))


@pytest.mark.parametrize(
    'calibration, words',
    [
        (with_right(K=np.zeros((3, 3)), P=np.zeros((3, 4))), 'right camera is uncalibrated'),
        (with_right(P=CALIBRATION.right.P * [1, 1, 1, -1]), 'eyes are swapped'),
        (with_right(P=CALIBRATION.left.P), 'no baseline'),
        (with_right(width=WIDTH * 2), 'sizes disagree'),
        (rectified_calibration(WIDTH * 2, HEIGHT * 2), f'left image is {WIDTH}x{HEIGHT}'),
    ],
    ids=['uncalibrated', 'swapped', 'no-baseline', 'eyes-differ', 'other-size'],
)
def test_bad_camera_info(shared, calibration, words):
    def send(stamp):
        shared.send_info(calibration)
        time.sleep(0.1)
        shared.send_pair(stamp, LEFT, RIGHT)

    assert_refuses_then_recovers(shared, send, words)


def test_a_changed_resolution_is_followed_from_the_first_frame(shared):
    for width, height in ((200, 160), (WIDTH, HEIGHT)):
        shared.send_info(rectified_calibration(width, height))
        time.sleep(0.1)
        pair = [cv2.resize(image, (width, height)) for image in (LEFT, RIGHT)]
        assert exchange(shared, *pair).image.width == width


def test_leading_slash_of_a_frame_is_dropped(shared):
    assert exchange(shared, frame_id='/stereo/left_frame').header.frame_id == 'stereo/left_frame'


# Parameters.


def test_live_parameters_change_without_restart_and_others_say_why_not(shared):
    result = shared.set_parameter('stereo', 'outputs', type=9, string_array_value=['depth'])
    assert result.successful
    stamp = next(shared.clock)
    shared.send_pair(stamp, LEFT, RIGHT)
    time.sleep(0.7)
    assert stamp not in shared.stamps('disparity')
    assert shared.set_parameter(
        'stereo', 'outputs', type=9, string_array_value=['disparity', 'depth']
    ).successful
    exchange(shared)
    for refused, reason in (
        (
            shared.set_parameter('stereo', 'model', type=4, string_value='msdesis_light'),
            'configured',
        ),
        (shared.set_parameter('stereo', 'max_depth', type=3, double_value=-1.0), 'range'),
        (shared.set_parameter('stereo', 'outputs', type=9, string_array_value=['x']), 'one of'),
    ):
        assert not refused.successful
        assert reason in refused.reason


def test_parameters_are_described_and_ranged(shared):
    names = ['max_rate', 'scale', 'model', 'rectify']
    response = shared.call(DescribeParameters, 'stereo/describe_parameters', names=names)
    described = dict(zip(names, response.descriptors, strict=True))
    assert all(d.description for d in described.values())
    assert described['scale'].floating_point_range[0].from_value == 0
    assert 'sgbm' in described['model'].additional_constraints


# Time.


def test_a_bag_loop_costs_no_frame(shared):
    first = next(shared.clock)
    stamps = [first + i * FRAME for i in range(30)]
    for _ in range(2):
        shared.received['disparity'].clear()
        for stamp in stamps:
            shared.send_pair(stamp, LEFT, RIGHT)
            answer(shared, stamp)
    assert shared.stamps('disparity') == stamps


def test_a_lost_eye_is_an_error_within_a_second_or_two_and_costs_no_frame_after(shared):
    exchange(shared)
    header_stamp = next(shared.clock)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:  # only the left eye is alive
        header_stamp += FRAME
        header = messages.header(make_message, header_stamp, FRAME_ID)
        shared.publish('left/image_rect', messages.image(make_message, header, LEFT, 'rgb8'))
        time.sleep(0.1)
    status = shared.status('stereo')
    assert status.level == DiagnosticStatus.ERROR
    assert status.message == 'no image on /endoscope/right/image_rect'
    exchange(shared)


def test_counts_are_exact(shared):
    exchange(shared)
    before = shared.settled('stereo')
    for _ in range(7):
        exchange(shared)
    after = shared.settled('stereo')
    names = ('paired', 'out', 'dropped', 'rejected')
    assert {name: int(after[name]) - int(before[name]) for name in names} == {
        'paired': 7, 'out': 7, 'dropped': 0, 'rejected': 0
    }  # fmt: skip


# Nodes of their own.


@pytest.fixture
def own():
    with graph() as made:
        yield made


def test_overload_newest_wins_and_nothing_is_lost_from_the_books(own):
    """60 Hz of 640x512 into a matcher that keeps 10-20 Hz."""
    left, right = (cv2.resize(image, (640, 512)) for image in (LEFT, RIGHT))
    own.start('stereo_node', max_disparity=256)
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    before = own.connect(rectified_calibration(640, 512), left, right)
    first, start = next(own.clock), time.monotonic()
    for i in range(240):
        time.sleep(max(0, start + i / 60 - time.monotonic()))
        own.send_pair(first + i * SECOND // 60, left, right)
    values = own.settled('stereo')
    counts = {
        name: int(values[name]) - int(before[name])
        for name in ('paired', 'out', 'dropped', 'rejected')
    }
    assert counts['paired'] == counts['out'] + counts['dropped'] + counts['rejected']
    assert counts['rejected'] == 0
    assert counts['dropped'] > 20, 'the test has to overload the node'
    assert counts['out'] == len(own.received['disparity'])
    stamps = own.stamps('disparity')
    assert stamps == sorted(stamps)
    # Newest output: at most one frame and one inference old. (The median: the machine that runs
    # the tests is busy with them, too.)
    assert float(values['age p50 [ms]']) < 1.5 * (float(values['inference p50 [ms]']) + 1000 / 60)


def test_max_rate_takes_frames_on_the_stamp_grid(own):
    own.start('stereo_node', max_rate=10.0)
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    own.connect(CALIBRATION, LEFT, RIGHT)
    first = next(own.clock)
    for i in range(30):
        own.send_pair(first + i * FRAME, LEFT, RIGHT)
        time.sleep(0.06)
    values = own.fresh_values('stereo')
    taken = [round((stamp - first) / FRAME) for stamp in own.stamps('disparity')]
    assert 9 <= len(taken) <= 11
    assert set(np.diff(taken)) <= {2, 3, 4}
    assert int(values['dropped (max_rate)']) == 30 - len(taken)


def test_max_rate_may_change_while_running(own):
    own.start('stereo_node', max_rate=10.0)
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    own.connect(CALIBRATION, LEFT, RIGHT)
    assert own.set_parameter('stereo', 'max_rate', type=3, double_value=0.5).successful
    for _ in range(4):  # a second apart
        own.send_pair(next(own.clock), LEFT, RIGHT)
        time.sleep(0.2)
    wait_for(lambda: len(own.received['disparity']) == 2, 5, own.report)


def test_eyes_that_never_pair_are_an_error_that_says_by_how_much(own):
    own.start('stereo_node', max_stamp_difference=0.0)
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    own.connect(CALIBRATION, LEFT, RIGHT)

    def reported():
        stamp = next(own.clock)
        for side, shift in (('left', 0), ('right', 3_000_000)):
            header = messages.header(make_message, stamp + shift, FRAME_ID)
            own.publish(f'{side}/image_rect', messages.image(make_message, header, LEFT, 'rgb8'))
        time.sleep(0.1)
        return 'do not pair: their newest stamps are 3.0 ms' in own.status('stereo').message

    wait_for(reported, 20, own.report)
    assert own.status('stereo').level == DiagnosticStatus.ERROR


def test_nothing_is_computed_while_nobody_subscribes(own):
    own.start('stereo_node')
    values = own.connect(CALIBRATION, LEFT, RIGHT)
    assert values['out'] == '0'
    assert values['dropped (nobody subscribes)'] == values['paired']


def test_rectify_takes_raw_images_and_offers_rectified_ones(own):
    calibration = raw_calibration(640, 512)
    truth = sloped_disparity(512, 640)
    pair = stereo_pair(truth)
    raw = [
        unrectify(image, camera)
        for image, camera in zip(pair, (calibration.left, calibration.right), strict=True)
    ]
    own.start('stereo_node', rectify=True)
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    own.listen('left/image_rect', 'sensor_msgs/msg/Image')
    own.connect(calibration, *raw, name='image_raw')
    assert float(own.values('stereo')['vertical residual [px]']) < 0.5
    stamp = next(own.clock)
    own.send_pair(stamp, *raw, name='image_raw')
    error = np.abs(disparity_from_message(answer(own, stamp)) - truth)
    assert np.nanmedian(error[50:-50, 100:-100]) < 0.3
    rectified = decode_image(answer(own, stamp, 'left/image_rect'))
    difference = np.abs(rectified.astype(int) - pair[0])[50:-50, 50:-50]
    assert np.median(difference) < 12


def test_images_that_are_not_rectified_are_noticed(own):
    process = own.start('stereo_node')
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    shifted = np.roll(RIGHT, 4, axis=0)
    values = own.connect(CALIBRATION, LEFT, shifted)
    assert float(values['vertical residual [px]']) == pytest.approx(4, abs=0.3)
    assert 'are 4.0 px apart' in output(process)


def unrectify(image, camera):
    """The raw image whose rectification is `image`."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    pixels = np.stack([x, y], -1).reshape(-1, 1, 2).astype(np.float64)
    source = cv2.undistortPoints(
        pixels, camera.K, camera.D, R=camera.R, P=camera.P[:, :3]
    ).reshape(*x.shape, 2)
    return cv2.remap(image, source.astype(np.float32), None, cv2.INTER_CUBIC)


def test_compressed_images(own):
    own.start('stereo_node', image_transport='compressed')
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    files = [
        cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
        for image in (LEFT, RIGHT)
    ]

    def answered():
        own.send_info(CALIBRATION)
        header = messages.header(make_message, next(own.clock), FRAME_ID)
        for side, data in zip(('left', 'right'), files, strict=True):
            own.publish(
                f'{side}/image_rect/compressed',
                make_message(
                    'sensor_msgs/msg/CompressedImage', format='png', data=data, header=header
                ),
            )
        time.sleep(0.1)
        return own.received['disparity']

    message = wait_for(answered, what=own.report)[0]
    expected = predictors.create('sgbm').predict(LEFT, RIGHT).disparity
    np.testing.assert_array_equal(disparity_from_message(message), expected)


def test_lifecycle_by_a_manager(own):
    own.start('stereo_node', autostart=False)

    def state():
        return own.call(GetState, 'stereo/get_state').current_state.label

    def change(transition):
        request = Transition(id=transition)
        return own.call(ChangeState, 'stereo/change_state', transition=request).success

    assert state() == 'unconfigured'
    for transition, expected in (
        (Transition.TRANSITION_CONFIGURE, 'inactive'),
        (Transition.TRANSITION_ACTIVATE, 'active'),
        (Transition.TRANSITION_DEACTIVATE, 'inactive'),
        (Transition.TRANSITION_ACTIVATE, 'active'),
        (Transition.TRANSITION_DEACTIVATE, 'inactive'),
        (Transition.TRANSITION_CLEANUP, 'unconfigured'),
        (Transition.TRANSITION_CONFIGURE, 'inactive'),
        (Transition.TRANSITION_ACTIVATE, 'active'),
    ):
        assert change(transition)
        assert state() == expected
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    own.connect(CALIBRATION, LEFT, RIGHT)
    exchange(own)


def test_what_is_wrong_fails_configuration_with_one_sentence(own):
    process = own.start('stereo_node', weights='/nowhere/net.pt')
    status = wait_for(lambda: own.status('stereo'))
    assert status.level == DiagnosticStatus.ERROR
    assert 'weights' in status.message
    errors = [line for line in process.lines if 'ERROR' in line]
    assert len(errors) == 1 and 'cannot configure: ' in errors[0]
    assert own.call(GetState, 'stereo/get_state').current_state.label == 'unconfigured'


def test_a_value_out_of_range_ends_the_node_with_one_sentence(own):
    process = own.start('stereo_node', scale=7.0)
    assert process.wait(20) == 1
    assert 'scale' in output(process)
    assert 'Traceback' not in output(process)


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_in_the_middle_of_work(own, how):
    process = own.start('stereo_node')
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    own.connect(CALIBRATION, LEFT, RIGHT)
    exchange(own)
    for _ in range(10):
        own.send_pair(next(own.clock), LEFT, RIGHT)
    assert own.stop(process, how) == 0
    assert 'Traceback' not in output(process)


def test_killed_and_started_again_it_goes_on(own):
    process = own.start('stereo_node')
    own.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    own.connect(CALIBRATION, LEFT, RIGHT)
    exchange(own)
    own.stop(process, signal.SIGKILL)
    own.start('stereo_node')

    def alive():
        own.send_info(CALIBRATION)
        own.send_pair(next(own.clock), LEFT, RIGHT)
        time.sleep(0.2)
        return len(own.received['disparity']) > 1

    wait_for(alive, 30)
