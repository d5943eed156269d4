"""A pipeline that is started as it is logs no warning and looks up no host name."""

import re
from pathlib import Path

import looked_up
import pytest
from harness import graph, output, wait_for

from surgseg_ros.media.share import share
from surgseg_ros.processes.pipelines import Pipeline

pytest.importorskip('torch', reason='networks need torch')


PIPELINES = sorted(path.stem for path in (share() / 'config' / 'pipelines').glob('*.yaml'))
OUTPUTS = {
    'disparity': 'stereo_msgs/msg/DisparityImage',
    'segmentation': 'sensor_msgs/msg/Image',
    'instances': 'surgseg_ros/msg/InstrumentInstances',
    'tool_poses': 'surgseg_ros/msg/ToolPoses',
}


@pytest.fixture(scope='module')
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_up.build(tmp_path_factory.mktemp('library'))


@pytest.mark.parametrize('name', PIPELINES)
def test_no_warning_and_no_host_name(name: str, library: Path, tmp_path: Path) -> None:
    names = tmp_path / 'names'
    names.touch()
    source = 'sim:width=320,height=256,rate=0.5'  # a slow machine drops frames, with a warning
    nodes = [
        node.name
        for node in Pipeline.load(name).nodes({'source': source})
        if node.executable != 'endoscope_node'
    ]
    with graph() as net:
        net.environment = {'LD_PRELOAD': str(library), 'LOOKED_UP': str(names)}
        for topic, kind in OUTPUTS.items():
            net.listen(topic, kind)
        up = net.surgseg('up', name, f'source:={source}')
        wait_for(
            lambda: all(int(net.values(node).get('out', 0)) > 2 for node in nodes), 600, net.report
        )
        assert net.stop(up) in (0, 130), output(up)
    assert not re.findall('.*warn.*', output(up), re.IGNORECASE)
    assert set(names.read_text().splitlines()) <= looked_up.OURS
