"""What the message classes of rclpy and of rosbags have in common."""

from typing import Any, Protocol


class Message(Protocol):
    """A ROS message: its fields are attributes, and its type says which it has."""

    def __getattr__(self, name: str, /) -> Any:
        """Return a field."""

    def __setattr__(self, name: str, value: object, /) -> None:
        """Set a field."""


class Stamped(Protocol):
    """Whatever has a std_msgs/Header."""

    @property
    def header(self) -> Message:
        """Stamp and frame."""


class MessageFactory(Protocol):
    """Makes a message: make('std_msgs/msg/Header', frame_id='base'); other fields are zero."""

    def __call__(self, type_name: str, /, **fields: object) -> Message:
        """Return a message of this type with these fields set."""
