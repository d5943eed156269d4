"""Bags of version 0.1, whose ToolPose was the pose of the jaw tips, are read, replayed, copied."""

from pathlib import Path

import numpy as np
from fake_frames import fake_frames
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from surgseg_ros import cli
from surgseg_ros.bags import BagReader, BagWriter
from surgseg_ros.bags.stereo_bag import StereoBag, write_frame
from surgseg_ros.frames.tool_pose import KeypointKind

EARLIER = """uint8 MEASURED=0
uint8 PREDICTED=1
uint8 INVALID=2
uint8 slot
uint32 track_id
uint16 class_id
string class_name
float32 score
uint8 state
uint16 reasons
geometry_msgs/PoseWithCovariance pose
geometry_msgs/TwistWithCovariance twist
float32 jaw_angle
float32 jaw_variance
"""
TYPE, TOPIC = 'surgseg_ros/msg/ToolPoses', '/endoscope/ground_truth/tool_poses'


def earlier_bag(path: Path) -> Path:
    """Two frames, each with the true pose of one instrument in the earlier message."""
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(EARLIER, 'surgseg_ros/msg/ToolPose'))
    poses = 'std_msgs/Header header\nsurgseg_ros/ToolPose[] tools\n'
    store.register(get_types_from_msg(poses, TYPE))
    with BagWriter(path) as writer:
        writer.add_topic(TOPIC, TYPE, types=store)
        for frame in fake_frames(2, truth=False):
            writer.write_raw(TOPIC, TYPE, _serialized(store, frame.stamp), frame.stamp)
            write_frame(writer, frame)
    return path


def _serialized(store, stamp: int):
    t = store.types
    time = t['builtin_interfaces/msg/Time'](*divmod(stamp, 10**9))
    pose = t['geometry_msgs/msg/PoseWithCovariance'](
        t['geometry_msgs/msg/Pose'](
            t['geometry_msgs/msg/Point'](0.01, 0.02, 0.07),
            t['geometry_msgs/msg/Quaternion'](1.0, 0.0, 0.0, 0.0),
        ),
        np.zeros(36),
    )
    zero = t['geometry_msgs/msg/Vector3'](0.0, 0.0, 0.0)
    twist = t['geometry_msgs/msg/Twist'](zero, zero)
    twist = t['geometry_msgs/msg/TwistWithCovariance'](twist, np.zeros(36))
    tool = t['surgseg_ros/msg/ToolPose'](4, 9, 2, 'forceps', 0.5, 0, 16, pose, twist, 0.3, 0.01)
    header = t['std_msgs/msg/Header'](time, 'endoscope_left_optical')
    return store.serialize_cdr(t[TYPE](header, [tool]), TYPE)


def check(path: Path) -> None:
    with StereoBag(path) as bag:
        frames = list(bag)
    assert len(frames) == 2
    for frame in frames:
        [tool] = frame.truth.tools
        assert (tool.slot, tool.track_id, tool.class_name) == (4, 9, 'forceps')
        np.testing.assert_allclose(tool.point(KeypointKind.JAW_TIPS), (0.01, 0.02, 0.07))
        np.testing.assert_allclose(tool.axis, (0, 0, -1), atol=1e-12)
        assert np.isnan(tool.control_point[:3, 3]).all(), 'it was not said where that is'
        assert np.isclose(tool.jaw_angle, 0.3)


def test_the_pose_is_that_of_the_tips(tmp_path: Path) -> None:
    check(earlier_bag(tmp_path / 'bag'))


def test_convert_and_pack(tmp_path: Path) -> None:
    bag = earlier_bag(tmp_path / 'bag')
    assert cli.main(['bags', 'convert', str(bag), str(tmp_path / 'copy.db3')]) == 0
    check(tmp_path / 'copy.db3')
    assert cli.main(['bags', 'pack', str(bag), str(tmp_path / 'packed')]) == 0
    check(tmp_path / 'packed')
    with BagReader(tmp_path / 'packed') as packed:
        [message] = list(packed.messages([TOPIC]))[:1]
        assert message.message.tools[0].keypoints, 'in the newer message'
