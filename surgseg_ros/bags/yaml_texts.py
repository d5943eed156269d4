"""YAML inside bags (metadata.yaml, QoS profiles of topics), looked at before rosbags parses it."""

from typing import Any

from rosbags.rosbag2 import metadata
from rosbags.rosbag2 import reader as rosbag2
from ruamel.yaml import YAML

from surgseg_ros.frames.foreign import check_yaml


def limit_yaml() -> None:
    """Have rosbags parse no YAML whose aliases or nesting have no end."""
    metadata.YAML = rosbag2.YAML = _CheckedYaml  # type: ignore[misc,assignment]


class _CheckedYaml:
    """Stands for ruamel.yaml.YAML."""

    def __init__(self, typ: str) -> None:
        self._yaml = YAML(typ=typ)

    def load(self, text: str) -> Any:
        """Parse; ValueError in one sentence where that would never end."""
        check_yaml(text)
        return self._yaml.load(text)
