"""Weights of a training that has diverged are refused wherever they are read."""

import pytest
from safetensors.torch import save_file

from surgseg_ros import networks
from surgseg_ros.cli import main

torch = pytest.importorskip('torch', reason='networks need torch')
KEY = 'layer1.1.weight'


@pytest.fixture
def state():
    torch.manual_seed(0)
    return networks.create('lwanet').state_dict()


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
def test_the_tensor_and_how_much_of_it_is_named(tmp_path, state, value):
    state[KEY][2:5] = value
    torch.save(state, tmp_path / 'weights.pth')
    save_file(state, tmp_path / 'weights.safetensors')
    for name in ('weights.pth', 'weights.safetensors'):
        with pytest.raises(ValueError) as error:
            networks.load_checkpoint(networks.create('lwanet'), tmp_path / name)
        assert f'{name} has weights that are not finite (NaN or infinity)' in str(error.value)
        assert f': 3 of the 32 values of {KEY}' in str(error.value)
        assert '\n' not in str(error.value)


def test_neither_verified_nor_imported(tmp_path, state, capsys):
    state['layer1.0.weight'].fill_(float('nan'))
    state[KEY][0] = float('nan')
    path, out = tmp_path / 'weights.pth', tmp_path / 'out.safetensors'
    torch.save(state, path)
    assert main(['models', 'verify', str(path)]) == 1
    assert main(['models', 'import', str(path), str(out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all('of layer1.0.weight, and 1 tensors more' in line for line in lines)
    assert not out.exists()


def test_large_finite_and_half_precision_weights_are_fine(tmp_path, state):
    state[KEY][0], state[KEY][1] = 3e38, -3e38  # their sum would overflow
    halves = {key: x.half() if key.startswith('final') else x for key, x in state.items()}
    torch.save(halves, tmp_path / 'weights.pth')
    networks.load_checkpoint(networks.create('lwanet'), tmp_path / 'weights.pth')
