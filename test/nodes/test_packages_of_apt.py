"""A node on a camera with sgbm needs what a ROS machine's apt has, and nothing from PyPI."""

import numpy as np
from harness import FRAME_ID, NAMESPACE, graph
from synthetic_stereo import rectified_calibration, sloped_disparity, stereo_pair

from surgseg_ros import predictors
from surgseg_ros.processes.pipelines import PipelineNode
from surgseg_ros.processes.supervisor import command
from surgseg_ros.rosdata.messages import disparity_from_message

HEIGHT, WIDTH = 128, 160
ABSENT = ('pydantic', 'pydantic_core', 'annotated_types', 'ruamel', 'rosbags', 'torch', 'openvino')
CODE = f"""
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {ABSENT}:
            raise ModuleNotFoundError('No module named ' + name, name=name)

sys.meta_path.insert(0, Absent())
runpy.run_module('surgseg_ros.nodes.stereo_node', run_name='__main__', alter_sys=True)
"""


def test_stereo_node_with_sgbm_imports_none_of_them() -> None:
    left, right = stereo_pair(sloped_disparity(HEIGHT, WIDTH))
    words = command(PipelineNode('stereo_node', 'stereo', NAMESPACE))
    where = words.index('-m')
    with graph() as made:
        made.run([*words[:where], '-c', CODE, *words[where + 2 :]])
        made.listen('disparity', 'stereo_msgs/msg/DisparityImage')
        made.connect(rectified_calibration(WIDTH, HEIGHT), left, right)
        stamp = next(made.clock)
        made.send_pair(stamp, left, right)
        message = made.answer(stamp, 'disparity')
        assert message.header.frame_id == FRAME_ID
        expected = predictors.create('sgbm').predict(left, right).disparity
        np.testing.assert_array_equal(disparity_from_message(message), expected)
