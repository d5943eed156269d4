"""How near the nearest instrument is: a node over disparity and instances."""

import numpy as np
from sensor_msgs.msg import Image, Range
from stereo_msgs.msg import DisparityImage
from surgseg_ros.msg import InstrumentInstances

from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.stream import Input, Output, outputs_parameter
from surgseg_ros.nodes.stream_node import StreamNode
from surgseg_ros.rosdata.images import decode_float
from surgseg_ros.rosdata.messages import disparity_from_message, instance_parts


def masks(message):
    return [instance_parts(one, message.height, message.width) > 0 for one in message.instances]


def decode_disparity(message):
    return disparity_from_message(message), message.f * message.t


def nearest(frame, result, p):
    distance, stddev = result
    return Range(header=frame.header, range=distance, variance=stddev)


DISPARITY = Input('disparity', DisparityImage, decode_disparity, 'px')
INSTANCES = Input('instances', InstrumentInstances, masks, 'instruments')
STDDEV = Input('disparity_stddev', Image, decode_float, 'px', optional=True)


class ToyNode(StreamNode):
    INPUTS = (DISPARITY, INSTANCES, STDDEV)
    CAMERAS = ('left',)
    OUTPUTS = (Output('nearest', Range, 'nearest', nearest, 'm'),)
    PARAMETERS = (*StreamNode.PARAMETERS, outputs_parameter(OUTPUTS))

    def __init__(self, **options):
        super().__init__('toy', **options)

    def process(self, frame, wanted):
        disparity, strength = frame[DISPARITY]
        tool = np.any(frame[INSTANCES], axis=0)
        stddev = frame.get(STDDEV)
        unknown = -1.0 if stddev is None else float(stddev[tool].mean())
        return float(strength / np.nanmax(disparity[tool])), unknown


if __name__ == '__main__':
    raise SystemExit(run(ToyNode))
