"""rclpy's messages as surgseg_ros.rosdata.messages makes them."""

from functools import cache
from importlib import import_module

from surgseg_ros.rosdata.factory import Message


@cache
def message_type(type_name: str) -> type:
    """Class of an interface, e.g. 'sensor_msgs/msg/Image'; ImportError names what is missing."""
    package, _, name = type_name.split('/')
    try:
        found: type = getattr(import_module(f'{package}.msg'), name)
        return found
    except AttributeError:
        raise ImportError(f'package {package} has no message {name}') from None


def make_message(type_name: str, /, **fields: object) -> Message:
    """MessageFactory over rclpy's classes."""
    message: Message = message_type(type_name)(**fields)
    return message
