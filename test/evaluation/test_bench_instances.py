import numpy as np
import pytest
from golden_recipe import fill_network
from safetensors.torch import save_file

from surgseg_ros import networks
from surgseg_ros.cli import main
from surgseg_ros.evaluation.bench_network import CONTENDERS, Task, compare
from surgseg_ros.networks.card import Card

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    options = {'num_classes': 2, 'width': 32, 'depth': 1, 'grids': (6, 5, 4, 3, 2)}
    network = fill_network(networks.create('solo_mobilenet', **options))
    path = tmp_path_factory.mktemp('weights') / 'solo.safetensors'
    card = Card('solo_mobilenet', options, ('background', 'grasper', 'scissors'))
    save_file(network.state_dict(), path, metadata=card.metadata())
    return str(path)


def test_instances_are_those_of_eager_pytorch(weights):
    ways = [CONTENDERS[0], CONTENDERS[2]]
    task = Task('instances', 'solo_mobilenet', weights, 152, 80, threads=1)
    timings, refused = compare(task, ways, 1)
    assert refused == {}
    published, ours = (timing.result for timing in timings)
    assert published.shape == ours.shape == (80, 152)
    assert len(np.unique(published)) > 1
    assert np.count_nonzero(published != ours) <= 1e-3 * published.size


def test_the_command_prints_a_table(weights, capsys):
    words = ['bench', 'instances', '--model', 'solo_mobilenet', '--weights', weights,
             '--size', '96x64', '--rounds', '1', '--only', 'torch']
    assert main(words) == 0
    header, _, line = capsys.readouterr().out.splitlines()
    assert header.startswith('solo_mobilenet 96x64, ')
    assert line.startswith('torch ') and '1.00x' in line and '0 of 6144 px' in line
