"""Nodes told to stop end with 0, whatever ran their network and however sizes changed."""

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from golden_recipe import texture
from harness import NAMESPACE, Graph, graph, wait_for
from synthetic_stereo import rectified_calibration

from surgseg_ros import networks
from surgseg_ros.networks.card import Card
from surgseg_ros.processes.pipelines import PipelineNode
from surgseg_ros.processes.supervisor import command

torch = pytest.importorskip('torch', reason='networks need torch')

SIZES = ((64, 96), (96, 64))  # height, width: the one that is prepared, and another
# node and options of each network; the defaults of the nodes run on every backend
DEFAULT = {
    'msdesis_light': ('stereo_node', {}),
    'lwanet': ('semantic_node', {}),
    'solo_mobilenet': ('instance_node', {'num_classes': 2}),
}
OTHERS = {
    'msdesis_resnet34': ('stereo_node', {}),
    'surgicalsam': ('semantic_node', {'encoder': 'mobilenet_v2', 'num_classes': 2, 'grid': 16}),
    'solo_r18': ('instance_node', {'num_classes': 2}),
    'solo_r50': ('instance_node', {'num_classes': 2}),
    'fassst_416': ('instance_node', {'num_classes': 2, 'num_boxes': 4}),
    'fassst_768': ('instance_node', {'num_classes': 2, 'num_boxes': 4}),
    'fassst_small': ('instance_node', {'num_classes': 2}),
}
OUTPUTS = {
    'stereo_node': ('disparity', 'stereo_msgs/msg/DisparityImage'),
    'semantic_node': ('segmentation', 'sensor_msgs/msg/Image'),
    'instance_node': ('instances', 'surgseg_ros/msg/InstrumentInstances'),
}
DETAILS = {'input_size': [64, 96], 'encoder_size': 256}
RUNS = [
    ('openvino', signal.SIGINT, DEFAULT),
    ('openvino', signal.SIGTERM, DEFAULT),
    ('onnxruntime', signal.SIGINT, DEFAULT),
    ('torch', signal.SIGTERM, DEFAULT),
    ('torch', signal.SIGINT, OTHERS),
]


@pytest.fixture(scope='module', autouse=True)
def weights(tmp_path_factory):
    """A folder of random weights, by the network's name, which shares its exports."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp('weights')
    torch.manual_seed(0)
    for name, (_, options) in {**DEFAULT, **OTHERS}.items():
        names = ('background', 'hook', 'clip') if options else ()
        card = Card(name, options, names, DETAILS)
        state = networks.create(name, **options).state_dict()
        save_file(state, folder / f'{name}.safetensors', card.metadata())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SURGSEG_CACHE', str(folder / 'cache'))
        yield folder


def start(net: Graph, weights: Path, name: str, executable: str, backend: str):
    parameters = {
        'model': name,
        'weights': str(weights / f'{name}.safetensors'),
        'backend': backend,
        'threads': 1,
        'image_size': f'{SIZES[0][1]}x{SIZES[0][0]}',
    }
    node = PipelineNode(
        executable, name, NAMESPACE, parameters=parameters, remaps={'__node': name}
    )
    return net.run(command(node))


def send_until_answered(net: Graph, names, size) -> None:
    """Send frames of a size until every node has answered one of them.

    Up to two frames of the size before, one computed and one waiting, may be answered first.
    """
    image = texture('ending', *size)
    calibration = rectified_calibration(size[1], size[0])
    before = {name: int(net.values(name).get('out', 0)) for name in names}

    def answered() -> bool:
        net.send_info(calibration)
        net.send_pair(next(net.clock), image, np.roll(image, -4, axis=1))
        return all(int(net.values(name).get('out', 0)) > before[name] + 2 for name in names)

    wait_for(answered, 600, net.report)


def shared_memory(pids) -> set[str]:
    """Segments of Fast DDS in /dev/shm that these processes have mapped; ports are shared."""
    maps = ''
    for pid in pids:
        with suppress(OSError):  # it may have ended
            maps += Path(f'/proc/{pid}/maps').read_text()
    return set(re.findall(r'/dev/shm/fastrtps_[0-9a-f]{16}\S*', maps))


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ('backend', 'how', 'models'),
    [
        pytest.param(
            *run,
            id=f'{run[0]}-{run[1].name}-{len(run[2])}-networks',
            marks=() if run is RUNS[0] else pytest.mark.long,
        )
        for run in RUNS
    ],
)
def test_exit_code_and_shared_memory(weights, backend, how, models):
    with graph() as net:
        for executable in {executable for executable, _ in models.values()}:
            net.listen(*OUTPUTS[executable])
        nodes = {
            name: start(net, weights, name, executable, backend)
            for name, (executable, _) in models.items()
        }
        wait_for(lambda: all(net.status(name) for name in nodes), 600, net.report)
        for size in SIZES:
            send_until_answered(net, nodes, size)
        files = shared_memory(process.pid for process in nodes.values())
        for process in nodes.values():
            process.send_signal(how)
        codes = {name: process.wait(60) for name, process in nodes.items()}
        assert codes == dict.fromkeys(nodes, 0), net.report()
    used = shared_memory(path.name for path in Path('/proc').glob('[0-9]*'))  # by other programs
    assert files and not [file for file in files - used if os.path.exists(file)]


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_an_export_does_not_keep_a_node_from_ending(weights, how, monkeypatch, tmp_path):
    monkeypatch.setenv('SURGSEG_CACHE', str(tmp_path))  # nothing is exported yet
    with graph() as net:
        process = start(net, weights, 'lwanet', 'semantic_node', 'openvino')
        exporting = f'export_onnx.*{weights}'
        wait_for(
            lambda: subprocess.run(['pgrep', '-f', exporting], capture_output=True).stdout, 120
        )
        process.send_signal(how)
        assert process.wait(60) == 0
        assert not subprocess.run(['pgrep', '-f', exporting], capture_output=True).stdout
