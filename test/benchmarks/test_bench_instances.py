import numpy as np
import pytest
from golden_recipe import fill_network
from safetensors.torch import save_file

from surgseg_ros import networks
from surgseg_ros.benchmarks.bench_network import CONTENDERS, Workload, compare
from surgseg_ros.cli import main
from surgseg_ros.networks.card import Card

torch = pytest.importorskip('torch', reason='networks need torch')

OPTIONS = {
    'solo_mobilenet': {'num_classes': 2, 'width': 32, 'depth': 1, 'grids': (6, 5, 4, 3, 2)},
    'fassst_small': {'num_classes': 2, 'size': 128, 'num_boxes': 9},
}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Files of small networks, by name."""
    folder = tmp_path_factory.mktemp('weights')
    for name, options in OPTIONS.items():
        card = Card(name, options, ('background', 'grasper', 'scissors'))
        save_file(
            fill_network(networks.create(name, **options)).state_dict(),
            folder / f'{name}.safetensors',
            metadata=card.metadata(),
        )
    return {name: str(folder / f'{name}.safetensors') for name in OPTIONS}


@pytest.mark.parametrize('name', OPTIONS)
def test_instances_are_those_of_eager_pytorch(weights, name):
    ways = [CONTENDERS[0], CONTENDERS[2]]
    task = Workload('instances', name, weights[name], 152, 80, threads=1)
    timings, refused = compare(task, ways, 1)
    assert refused == {}
    assert all(len(timing.result) > 1 for timing in timings)
    published, ours = (timing.result.sum(axis=0) for timing in timings)
    assert published.shape == ours.shape == (80, 152)
    assert len(np.unique(published)) > 1
    assert np.count_nonzero(published != ours) <= 1e-3 * published.size


@pytest.mark.parametrize('name', OPTIONS)
def test_the_command_prints_a_table(weights, capsys, name):
    words = [
        'bench',
        'instances',
        '--model',
        name,
        '--weights',
        weights[name],
        '--size',
        '96x64',
        '--rounds',
        '1',
        '--only',
        'torch',
    ]
    assert main(words) == 0
    header, _, line = capsys.readouterr().out.splitlines()
    assert header.startswith(f'{name} 96x64, ')
    assert line.startswith('torch ') and '1.00x' in line and '0 of 6144 px' in line


@pytest.mark.parametrize('name', ['solo_mobilenet', 'solo_r18', 'fassst_small'])
def test_without_weights_there_are_instances_to_time(capsys, name):
    """solo_mobilenet has weights in the package, the others get random ones."""
    assert (
        main(
            [
                'bench',
                'instances',
                '--model',
                name,
                '--size',
                '160x128',
                '--rounds',
                '1',
                '--only',
                'torch',
            ]
        )
        == 0
    )
    words = capsys.readouterr().out.splitlines()[-1].split()
    # trained ones find what they like in a picture of noise, up to 100
    most = 100 if name == 'solo_mobilenet' else 60
    assert words[-1] == 'instances' and 5 <= int(words[-2]) <= most
