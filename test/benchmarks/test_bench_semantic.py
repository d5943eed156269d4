import numpy as np
import pytest
from golden_recipe import fill_network

from surgseg_ros import networks
from surgseg_ros.benchmarks.bench_network import CONTENDERS, Workload, compare
from surgseg_ros.cli import main

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'lwanet.pt'
    torch.save(fill_network(networks.create('lwanet')).state_dict(), path)
    return str(path)


@pytest.mark.parametrize(('width', 'height'), [(192, 108), (1280, 1024)])
def test_labels_are_those_of_the_published_way(weights, width, height):
    """Padded by ten rows above and below, and reduced by two."""
    ways = [CONTENDERS[0], CONTENDERS[2]]
    timings, _ = compare(
        Workload('semantic', 'lwanet', weights, width, height, threads=1), ways, 1
    )
    published, ours = (timing.result for timing in timings)
    assert published.shape == ours.shape == (height, width)
    assert len(np.unique(published)) > 3
    # 0 pixels with torch 2.13 on x86; elsewhere a tie in a million may be rounded otherwise
    assert np.count_nonzero(published != ours) <= published.size // 1_000_000


def test_the_command_prints_a_table(weights, capsys):
    words = ['bench', 'semantic', '--weights', weights, '--size', '96x64', '--rounds', '1']
    assert main([*words, '--only', 'torch']) == 0
    header, _, line = capsys.readouterr().out.splitlines()
    assert header.startswith('lwanet 96x64, ')
    assert line.startswith('torch ') and '1.00x' in line and '0 of 6144 px' in line
