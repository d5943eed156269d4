"""numpy -> messages -> numpy, and that rclpy's and rosbags' classes get the same values."""

import numpy as np
import pytest
from fake_frames import assert_same_truth, fake_calibration, fake_frames

from surgseg_ros import messages
from surgseg_ros.bags import make_message
from surgseg_ros.bags.types import find_type
from surgseg_ros.frame_messages import frame_messages, is_rectified, truth_from_messages
from surgseg_ros.geometry.points import disparity_to_cloud


@pytest.fixture
def header():
    return messages.header(make_message, 12_345_678_901, 'endoscope_left_optical')


def test_stamp(header) -> None:
    assert (header.stamp.sec, header.stamp.nanosec) == (12, 345_678_901)
    image = messages.image(make_message, header, np.zeros((2, 2), np.uint8), 'mono8')
    assert messages.stamp_of(image) == 12_345_678_901


@pytest.mark.parametrize('labelled', [False, True])
def test_cloud(header, labelled: bool) -> None:
    frame = fake_frames(1)[0]
    labels = frame.truth.parts if labelled else None
    cloud = disparity_to_cloud(frame.truth.disparity, frame.calibration, frame.left, labels)
    message = messages.point_cloud2(make_message, header, cloud)
    names = ['x', 'y', 'z', 'rgb'] + ['label'] * labelled
    assert [(f.name, f.offset, f.datatype) for f in message.fields] == [
        (name, 4 * index, 2 if name == 'label' else 7) for index, name in enumerate(names)
    ]
    assert message.row_step == message.point_step * message.width
    assert message.data.size == message.row_step * message.height
    assert not message.is_dense
    back = messages.cloud_from_message(message)
    for name in names:
        np.testing.assert_array_equal(back[name], cloud[name])


def test_cloud_with_other_fields_is_refused(header) -> None:
    field = make_message('sensor_msgs/msg/PointField', name='time', datatype=8)
    message = make_message('sensor_msgs/msg/PointCloud2', fields=[field])
    with pytest.raises(ValueError, match=r"\['time'\] are neither float32 nor uint8"):
        messages.cloud_from_message(message)


def test_disparity_range_and_unknown_pixels(header) -> None:
    disparity = np.array([[np.nan, 3.0, 1.5, 40.0]], np.float32)
    message = messages.disparity_image(
        make_message, header, disparity, fake_calibration(), (2.0, 64.0), 1 / 16
    )
    assert (message.min_disparity, message.max_disparity) == (2.0, 64.0)
    assert message.delta_d == 1 / 16
    assert (message.f, message.t) == (60.0, pytest.approx(0.0043))
    stored = np.frombuffer(message.image.data, np.float32)
    np.testing.assert_array_equal(stored, [1, 3, 1, 40])
    expected = np.array([[np.nan, 3, np.nan, 40]], np.float32)
    np.testing.assert_array_equal(messages.disparity_from_message(message), expected)


def test_instances_are_cropped_to_their_box() -> None:
    parts = np.zeros((10, 20), np.uint8)
    parts[2:5, 7:12] = 1
    parts[3, 9] = 3
    message = messages.instrument_instance(make_message, parts, 4, 'scissors', 0.5, 9)
    roi = message.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (7, 2, 5, 3)
    assert message.mask.size == 15
    np.testing.assert_array_equal(messages.instance_parts(message, 10, 20), parts)
    empty = messages.instrument_instance(make_message, np.zeros((10, 20), np.uint8), 4, 'scissors')
    assert (empty.roi.width, empty.mask.size) == (0, 0)
    assert not messages.instance_parts(empty, 10, 20).any()


def test_truth_round_trip() -> None:
    frame = fake_frames(1)[0]
    received = {topic: message for topic, _, message in frame_messages(make_message, frame)}
    assert_same_truth(truth_from_messages(received, frame.calibration), frame.truth)
    assert truth_from_messages({}, None) is None


def test_truth_comes_before_the_images() -> None:
    topics = [topic for topic, _, _ in frame_messages(make_message, fake_frames(1)[0])]
    assert topics[-2:] == ['left/image_rect', 'right/image_rect']
    assert all(topic.startswith('ground_truth/') for topic in topics[:4])


def test_rectified() -> None:
    assert is_rectified(fake_calibration())
    assert is_rectified(fake_calibration(offset=3.0))


def test_rclpy_and_rosbags_agree() -> None:
    pytest.importorskip('rclpy')
    pytest.importorskip('surgseg_ros.msg')
    from rclpy.serialization import serialize_message

    from surgseg_ros.nodes.messages import make_message as make_rclpy_message

    frame = fake_frames(1)[0]
    ours = list(frame_messages(make_message, frame))
    theirs = list(frame_messages(make_rclpy_message, frame))
    assert len(ours) == len(theirs) == 8
    for (topic, type_name, message), (_, _, other) in zip(ours, theirs, strict=True):
        types = find_type(type_name)
        received = types.deserialize_cdr(serialize_message(other), type_name)
        # Serialised once more, because Fast CDR leaves padding bytes as they were.
        data, other_data = (types.serialize_cdr(m, type_name) for m in (message, received))
        assert data == other_data, topic
