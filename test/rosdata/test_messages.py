"""numpy -> messages -> numpy, and that rclpy's and rosbags' classes get the same values."""

import numpy as np
import pytest
from fake_frames import assert_same_truth, fake_calibration, fake_frames

from surgseg_ros.bags import make_message
from surgseg_ros.bags.types import find_type
from surgseg_ros.frames.results import InstanceResult, mask_boxes
from surgseg_ros.geometry.points import disparity_to_cloud
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.frame_messages import frame_messages, is_rectified, truth_from_messages


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


def test_a_map_of_instances_has_255_ids() -> None:
    parts = np.eye(4, dtype=np.uint8)
    found = [
        messages.instrument_instance(make_message, parts, 1, '', 1.0, number)
        for number in (255, 256)
    ]
    first, both = (
        messages.instrument_instances(make_message, None, 4, 4, one) for one in (found[:1], found)
    )
    np.testing.assert_array_equal(messages.instance_map(first), 255 * parts)
    with pytest.raises(ValueError, match='has track_id 256, a map of instances has 255 at most'):
        messages.instance_map(both)


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


def instances(**fields) -> InstanceResult:
    """Two rectangles, one over the other."""
    masks = np.zeros((2, 10, 20), bool)
    masks[0, 2:5, 7:12] = masks[1, 4:9, 0:8] = True
    return InstanceResult(
        np.array([2, 1]),
        np.float32([0.75, 0.5]),
        mask_boxes(masks),
        masks,
        class_names=('background', 'grasper', 'scissors'),
        **fields,
    )


@pytest.mark.parametrize('tracked', [False, True])
def test_instances_of_a_result(header, tracked: bool) -> None:
    ids = np.array([7, 3], np.uint32) if tracked else None
    result = instances(track_ids=ids)
    message = messages.instances_of(make_message, header, result)
    assert (message.height, message.width) == (10, 20)
    assert [
        (one.class_id, one.class_name, one.score, one.track_id) for one in message.instances
    ] == [(2, 'scissors', 0.75, 7 * tracked), (1, 'grasper', 0.5, 3 * tracked)]
    for one, mask in zip(message.instances, result.masks, strict=True):
        np.testing.assert_array_equal(messages.instance_parts(one, 10, 20), 255 * mask)
    found = messages.detections_of(make_message, header, result)
    box = found.detections[0].bbox
    assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y) == (
        9.5,
        3.5,
        5,
        3,
    )
    assert [one.id for one in found.detections] == (['7', '3'] if tracked else ['', ''])
    hypothesis = found.detections[1].results[0].hypothesis
    assert (hypothesis.class_id, hypothesis.score) == ('1', 0.5)


def test_parts_of_a_result_go_into_the_message(header) -> None:
    parts = instances().masks * np.uint8(2)
    parts[1, 8] = 3 * instances().masks[1, 8]
    message = messages.instances_of(make_message, header, instances(parts=parts))
    for one, expected in zip(message.instances, parts, strict=True):
        np.testing.assert_array_equal(messages.instance_parts(one, 10, 20), expected)


def test_no_instances_are_a_message_too(header) -> None:
    nothing = instances().best(0)
    assert nothing.masks.shape == (0, 10, 20)
    message = messages.instances_of(make_message, header, nothing)
    assert (message.height, message.width, len(message.instances)) == (10, 20, 0)
    assert len(messages.detections_of(make_message, header, nothing).detections) == 0


def test_the_best_of_a_result() -> None:
    assert instances().best(1).class_ids.tolist() == [2]
    assert instances().best(5, 0.75).boxes.shape == (1, 4)
    assert instances().best(5, 0.5).masks.shape == (2, 10, 20)
    assert instances(track_ids=np.array([4, 5])).best(1).track_ids.tolist() == [4]


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
