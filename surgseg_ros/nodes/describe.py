"""The tables of topics and parameters in docs/topics.md, from the code.

surgseg topics --write docs/topics.md
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import LabelInfo

from surgseg_ros.nodes.endoscope_node import EndoscopeNode
from surgseg_ros.nodes.instance_node import InstanceNode
from surgseg_ros.nodes.managed_node import DIAGNOSTICS, LATCHED, NEWEST, ManagedNode
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.recorder_node import RecorderNode
from surgseg_ros.nodes.semantic_node import SemanticNode
from surgseg_ros.nodes.settings_parameters import parameters_of
from surgseg_ros.nodes.stereo_node import StereoNode
from surgseg_ros.nodes.stream import CAMERA_INFO
from surgseg_ros.nodes.stream_node import StreamNode
from surgseg_ros.nodes.tool_pose_node import ToolPoseNode
from surgseg_ros.perception.network import NetworkSettings

TITLES: dict[type[ManagedNode], str] = {
    StereoNode: '`stereo_node`',
    SemanticNode: '`semantic_node`',
    InstanceNode: '`instance_node`',
    ToolPoseNode: '`tool_pose_node`',
    StreamNode: 'Every node that works on streams',
    EndoscopeNode: '`endoscope_node`',
    RecorderNode: '`recorder_node`',
    ManagedNode: 'Every node',
}
PERCEIVING: dict[str, type[StreamNode[Any]]] = {
    'stereo': StereoNode,
    'semantic': SemanticNode,
    'instance': InstanceNode,
    'tool_pose': ToolPoseNode,
}
_NETWORK = (*parameters_of(NetworkSettings), IMAGE_SIZE)
_TYPES = {str: 'string', bool: 'bool', int: 'integer', float: 'double'}


def parameters() -> str:
    """Markdown tables of parameters: those of a class, without those of its base."""
    tables = [_table(title, _own(node)) for node, title in TITLES.items()]
    return '\n\n'.join([*tables, _table('Every node with a network', _NETWORK)])


class Row(NamedTuple):
    """A topic of a node. direction: 'in' or 'out'."""

    direction: str
    topic: str
    type: str
    qos: str
    meaning: str


def topics(namespace: str = 'endoscope') -> str:
    """Markdown tables of what nodes subscribe to and publish."""
    tables = []
    for name, node in PERCEIVING.items():
        rows = [
            f'**{TITLES[node]}**\n',
            '| | topic | type | QoS | meaning |',
            '|---|---|---|---|---|',
        ]
        for row in graph(name, namespace):
            rows.append(
                f'| {row.direction} | `{row.topic}` | {row.type} | {row.qos} | {row.meaning} |'
            )
        tables.append('\n'.join(rows))
    return '\n\n'.join(tables)


def graph(name: str, namespace: str) -> list[Row]:
    """What the node of this name declares, with its default parameters."""
    node = PERCEIVING[name]
    defaults = SimpleNamespace(**{one.name: one.default for one in node.PARAMETERS})
    rows = []
    for one in node.INPUTS:
        kind, _ = one.received(defaults)
        rows.append(Row('in', one.topic(defaults), _kind(kind), _qos(NEWEST), one.meaning))
    for side in node.CAMERAS:
        info = f'{side}/camera_info'
        rows.append(Row('in', info, _kind(CameraInfo), _qos(NEWEST), CAMERA_INFO[side]))
    for output in node.OUTPUTS:
        rows.append(Row('out', output.topic, _kind(output.type), _qos(output.qos), output.meaning))
        if output.labelled:
            meaning = 'latched: the name of each class id'
            labels = f'{output.topic}/label_info'
            rows.append(Row('out', labels, _kind(LabelInfo), _qos(LATCHED), meaning))
    rows.append(Row('out', '/diagnostics', _kind(DiagnosticArray), 'reliable, 10', DIAGNOSTICS))
    return [row._replace(topic=_resolved(row.topic, name, namespace)) for row in rows]


def _resolved(topic: str, name: str, namespace: str) -> str:
    if topic.startswith('/'):
        return topic
    return f'/{namespace}/' + topic.replace('~', name)


def _kind(message: type) -> str:
    return f'{message.__module__.partition(".")[0]}/{message.__name__}'


def filled(text: str) -> str:
    """Put the tables between their markers, `<!-- parameters: begin -->` and so on.

    Raises ValueError if a pair of markers is missing.
    """
    for name, table in (('parameters', parameters()), ('topics', topics())):
        begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
        before, found, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            raise ValueError(f'there is no {begin} ... {end}')
        text = f'{before}{begin}\n{table}\n{end}{after}'
    return text


def _own(node: type[ManagedNode]) -> list[Parameter]:
    inherited = (*getattr(node.__mro__[1], 'PARAMETERS', ()), *_NETWORK)
    return [parameter for parameter in node.PARAMETERS if parameter not in inherited]


def _table(title: str, rows: Sequence[Parameter]) -> str:
    head = '| name | type | default | allowed | live | meaning |\n|---|---|---|---|---|---|'
    return '\n'.join((f'**{title}**\n', head, *map(_row, rows)))


def _row(parameter: Parameter) -> str:
    cells = (
        f'`{parameter.name}`',
        _type(parameter.default),
        _default(parameter),
        _allowed(parameter),
        'yes' if parameter.live else '',
        parameter.description,
    )
    return f'| {" | ".join(cells)} |'


def _type(default: object) -> str:
    if isinstance(default, list):
        return f'{_TYPES[type(default[0])]} list'
    return _TYPES[type(default)]


def _default(parameter: Parameter) -> str:
    default = parameter.default
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        shown = [str(item) for item in default if item != '']
        return 'all' if tuple(default) == parameter.choices else ', '.join(shown)
    return str(default)


def _allowed(parameter: Parameter) -> str:
    if parameter.range:
        return f'{parameter.range[0]:g} to {parameter.range[1]:g}'
    return ', '.join(parameter.choices or ())


def _qos(profile: QoSProfile) -> str:
    reliable = profile.reliability == ReliabilityPolicy.RELIABLE
    return f'{"reliable" if reliable else "best effort"}, {profile.depth}'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        '--write', type=Path, metavar='FILE', help='put the tables between the markers of a file'
    )


def run(args: argparse.Namespace) -> None:
    """Print the tables, or write them into a file between its markers."""
    if args.write:
        args.write.write_text(filled(args.write.read_text()))
    else:
        print(topics(), parameters(), sep='\n\n')


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    run(parser.parse_args(arguments))


if __name__ == '__main__':
    main()
