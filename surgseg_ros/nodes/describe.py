"""The tables of topics and parameters in docs/topics.md, from the code.

python -m surgseg_ros.nodes.describe [--write docs/topics.md]
"""

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.qos import QoSProfile, ReliabilityPolicy

from surgseg_ros.nodes.endoscope_node import EndoscopeNode
from surgseg_ros.nodes.instance_node import InstanceNode
from surgseg_ros.nodes.managed_node import ManagedNode
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.perception_node import PerceptionNode
from surgseg_ros.nodes.recorder_node import RecorderNode
from surgseg_ros.nodes.semantic_node import SemanticNode
from surgseg_ros.nodes.settings_parameters import parameters_of
from surgseg_ros.nodes.stereo_node import StereoNode
from surgseg_ros.nodes.stereo_pair_node import StereoPairNode
from surgseg_ros.perception.network import NetworkSettings

TITLES: dict[type[ManagedNode], str] = {
    StereoNode: '`stereo_node`',
    SemanticNode: '`semantic_node`',
    InstanceNode: '`instance_node`',
    StereoPairNode: 'Every node that takes stereo pairs',
    PerceptionNode: 'Every node that takes images',
    EndoscopeNode: '`endoscope_node`',
    RecorderNode: '`recorder_node`',
    ManagedNode: 'Every node',
}
PERCEIVING = (StereoNode, SemanticNode, InstanceNode)
MEANINGS = {  # of the topics of PERCEIVING, by name without the namespace
    'left/image_rect': 'rectified left image; its stamp and frame go through to every output',
    'right/image_rect': 'rectified right image',
    'left/camera_info': 'kept until a new one comes; need not be in step with the images',
    'right/camera_info': 'likewise; P[3] = -f * baseline, in px * m, gives the scale',
    'disparity': '32FC1, px, without cx_left - cx_right; f in px, t = baseline in m; '
    'unknown is below min_disparity',
    'depth': '32FC1, m; NaN unknown',
    'points2': 'organised x y z rgb (and label, where the model has a tool mask), m, left '
    'optical frame; NaN unknown, is_dense false',
    'stereo/overlay': 'depth in colours over the left image, for people',
    'segmentation': 'mono8, class id per pixel; 0: no class was found, 255: unlabelled',
    'segmentation/label_info': 'latched: the name of each class id',
    'segmentation/probabilities': '32FC<n>, one channel per class id; off unless listed in '
    '`outputs`',
    'semantic/overlay': 'classes in colours over the left image with a legend, for people',
    'instances': 'class, score, track_id and part mask, cropped to its box, of each instrument; '
    'also when there is none',
    'instances/label_info': 'latched: the name of each class id',
    'detections': 'the same as boxes in px; `id` is the track_id, class_id a number',
    'instance/overlay': 'instruments in colours over the left image with class, score and '
    'track_id, for people',
    '/diagnostics': 'once a second: state, reason, exact counts, rate, latencies p50 and p99',
}
_NETWORK = (*parameters_of(NetworkSettings), IMAGE_SIZE)
_INTERNAL = re.compile('rosout|parameter_events|transition_event')
_TYPES = {str: 'string', bool: 'bool', int: 'integer', float: 'double'}


def parameters() -> str:
    """Markdown tables of parameters: those of a class, without those of its base."""
    tables = [_table(title, _own(node)) for node, title in TITLES.items()]
    return '\n\n'.join([*tables, _table('Every node with a network', _NETWORK)])


def topics(namespace: str = 'endoscope') -> str:
    """Markdown tables of what running nodes subscribe to and publish."""
    tables = []
    for node in PERCEIVING:
        rows = [
            f'**{TITLES[node]}**\n',
            '| | topic | type | QoS | meaning |',
            '|---|---|---|---|---|',
        ]
        for direction, name, kind, qos in graph(node, namespace):
            meaning = MEANINGS[name.removeprefix(f'/{namespace}/')]
            rows.append(f'| {direction} | `{name}` | {kind} | {qos} | {meaning} |')
        tables.append('\n'.join(rows))
    return '\n\n'.join(tables)


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


def _type(default: Any) -> str:
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


def _unloaded(kind: type[ManagedNode]) -> type[ManagedNode]:
    """Return the node as it is in a graph, without the weights that a predictor needs."""

    def create_step(node: ManagedNode) -> Any:
        return SimpleNamespace(class_names=(), prepare=lambda *size: None, reset=lambda: None)

    return type(kind.__name__, (kind,), {'create_step': create_step})


def graph(kind: type[ManagedNode], namespace: str) -> list[tuple[str, str, str, str]]:
    """Direction, topic, type and QoS of an active node's subscriptions and publishers."""
    context = Context()
    rclpy.init(context=context, args=['--ros-args', '--log-level', 'error'])
    make: Callable[..., ManagedNode] = _unloaded(kind)
    node = make(namespace=namespace, context=context)
    try:
        node.trigger_configure()
        node.trigger_activate()
        return [*_ends('in', node.subscriptions), *_ends('out', node.publishers)]
    finally:
        node.trigger_shutdown()
        node.destroy_node()
        context.try_shutdown()


def _ends(direction: str, ends: Iterable[Any]) -> Iterator[tuple[str, str, str, str]]:
    for end in ends:
        kind = end.msg_type
        if not _INTERNAL.search(end.topic_name):
            package = kind.__module__.partition('.')[0]
            yield direction, end.topic_name, f'{package}/{kind.__name__}', _qos(end.qos_profile)


def _qos(profile: QoSProfile) -> str:
    reliable = profile.reliability == ReliabilityPolicy.RELIABLE
    return f'{"reliable" if reliable else "best effort"}, {profile.depth}'


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or write them into a file between its markers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--write', type=Path, metavar='FILE')
    args = parser.parse_args(arguments)
    if args.write:
        args.write.write_text(filled(args.write.read_text()))
    else:
        print(topics(), parameters(), sep='\n\n')


if __name__ == '__main__':
    main()
