import numpy as np
import pytest
from golden_recipe import fill_network

from surgseg_ros import networks
from surgseg_ros.benchmarks.bench_network import CONTENDERS, Contender, Workload, compare
from surgseg_ros.cli import main

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'light.pt'
    torch.save(fill_network(networks.create('msdesis_light')).state_dict(), path)
    return str(path)


def test_contenders_take_turns_and_agree(weights):
    impossible = Contender('fp16', {'backend': 'torch', 'device': 'cpu', 'precision': 'fp16'})
    ways = [CONTENDERS[0], impossible, CONTENDERS[2]]
    timings, refused = compare(
        Workload('stereo', 'msdesis_light', weights, 96, 64), ways, rounds=3
    )
    assert [timing.title for timing in timings] == ['published way', 'torch']
    assert refused == {'fp16': 'the backend torch has no fp16 on the CPU: use f32 or bf16'}
    for timing in timings:
        assert timing.milliseconds.shape == (3,) and (timing.milliseconds > 0).all()
        assert timing.start_seconds > 0 and timing.peak_megabytes > 50
        assert timing.result.shape == (64, 96)
    published, ours = (timing.result for timing in timings)
    assert np.nanmax(published) > 1
    np.testing.assert_allclose(np.nan_to_num(ours), np.nan_to_num(published), atol=1e-3)


def test_the_command_prints_a_table(weights, capsys):
    words = ['bench', 'stereo', '--weights', weights, '--size', '96x64', '--rounds', '1']
    assert main([*words, '--only', 'torch']) == 0
    header, _, line = capsys.readouterr().out.splitlines()
    assert header.startswith('msdesis_light 96x64, scale 1, ')
    assert line.startswith('torch ') and '1.00x' in line
    with pytest.raises(SystemExit):
        main([*words[:4], '--size', '96'])
    assert "'96' is not WIDTHxHEIGHT such as 640x512" in capsys.readouterr().err
