"""What every node does: parameters over the network, signals, the end of a pipeline."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import Graph, graph, output, wait_for
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter, parameter_dict_from_yaml_file, parameter_value_to_python

from surgseg_ros.media import children

NODES: dict[str, dict[str, Any]] = {
    'recorder': {'topics': ['notes', 'images']},
    'endoscope': {'source': 'sim:width=320,height=256'},
    'stereo': {},
    'semantic': {'autostart': False},
    'instance': {'autostart': False},
}


@pytest.fixture(scope='module')
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """All nodes at once; those with networks are not configured."""
    with graph() as made:
        bag = str(tmp_path_factory.mktemp('recorder') / 'out.mcap')
        for name, parameters in NODES.items():
            given = parameters | ({'bag': bag} if name == 'recorder' else {})
            made.start(f'{name}_node', **given)
        for name in NODES:
            wait_for(lambda name=name: made.status(name), what=made.report)
        yield made


def dump(net: Graph, name: str) -> dict[str, Any]:
    """All parameters of a node by name, as `ros2 param dump` reads them."""
    names = list(net.call(ListParameters, f'{name}/list_parameters', depth=0).result.names)
    values = net.call(GetParameters, f'{name}/get_parameters', names=names).values
    return dict(zip(names, map(parameter_value_to_python, values), strict=True))


def load(net: Graph, name: str, file: Path) -> list[str]:
    """Set what a file says, as `ros2 param load` does; return the reasons of refusals."""
    parameters = list(parameter_dict_from_yaml_file(str(file)).values())
    answer = net.call(SetParameters, f'{name}/set_parameters', parameters=parameters)
    return [
        f'{parameter.name}: {result.reason}'
        for parameter, result in zip(parameters, answer.results, strict=True)
        if not result.successful
    ]


@pytest.mark.parametrize('name', list(NODES))
def test_a_node_takes_its_own_dump(net: Graph, name: str, tmp_path: Path) -> None:
    before = dump(net, name)
    assert 'autostart' in before
    file = tmp_path / 'dump.yaml'
    plain = {key: list(v) if hasattr(v, 'tolist') else v for key, v in before.items()}
    file.write_text(yaml.safe_dump({f'/endoscope/{name}': {'ros__parameters': plain}}))
    assert load(net, name, file) == []
    assert dump(net, name).items() >= before.items()  # more of them once it has publishers


@pytest.mark.parametrize(('name', 'value'), [('bag', '/tmp/elsewhere'), ('overwrite', True)])
def test_where_a_recorder_writes_is_not_changed_over_the_network(
    net: Graph, name: str, value: Any
) -> None:
    before = dump(net, 'recorder')
    message = Parameter(name, value=value).to_parameter_msg()
    result = net.call(SetParameters, 'recorder/set_parameters', parameters=[message]).results[0]
    assert not result.successful
    assert result.reason == f'{name} is given when the node is started and stays as it is'
    assert dump(net, 'recorder') == before


def test_what_a_running_node_does_not_take_is_said(net: Graph) -> None:
    result = net.set_parameter(
        'stereo', 'model', type=ParameterType.PARAMETER_STRING, string_value='x'
    )
    assert not result.successful and 'model' in result.reason
    result = net.set_parameter(
        'stereo', 'scale', type=ParameterType.PARAMETER_STRING, string_value='1'
    )
    assert not result.successful  # the same words, another type


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_without_a_word(how: int) -> None:
    code = (
        'import threading, time\n'
        'from surgseg_ros.processes.signals import on_signal\n'
        'on_signal(lambda number: print("first", flush=True))\n'
        'print("ready", flush=True)\n'
        'time.sleep(300)\n'
    )
    with children.start(children.python('-c', code), stdout=-1, stderr=-1) as process:
        assert process.stdout and process.stdout.readline() == 'ready\n'
        process.send_signal(how)
        assert process.stdout.readline() == 'first\n'
        time.sleep(0.2)  # what comes sooner is one signal that was sent in two ways
        process.send_signal(how)
        assert process.wait(60) == 128 + how
        assert process.stderr and process.stderr.read() == ''


def test_up_ends_when_a_node_cannot_configure() -> None:
    with graph() as net:
        up = net.surgseg('up', 'stereo', 'source:=camera', 'model:=msdesis_light', 'weights:=/no')
        assert up.wait(240) == 2
        wait_for(lambda: output(up).splitlines()[-1].startswith('surgseg up: endoscope/stereo: '))
        assert 'Traceback' not in output(up)
        assert '/no' in output(up).splitlines()[-1]
