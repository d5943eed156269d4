"""ROS 2 bags without a ROS installation: read, write, convert."""

from surgseg_ros.bags.reader import BagError, BagMessage, BagReader, is_bag
from surgseg_ros.bags.types import UnknownType, make_message
from surgseg_ros.bags.writer import BagWriter

__all__ = [
    'BagError',
    'BagMessage',
    'BagReader',
    'BagWriter',
    'UnknownType',
    'is_bag',
    'make_message',
]
