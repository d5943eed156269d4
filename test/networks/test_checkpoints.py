import os
import subprocess
import sys

import pytest
from safetensors.torch import save_file

from surgseg_ros import networks

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def light():
    return networks.create('msdesis_light')


def assert_loads(path, light):
    network = networks.create('msdesis_light')
    networks.load_checkpoint(network, path)
    for key, tensor in light.state_dict().items():
        assert torch.equal(network.state_dict()[key], tensor), key


def test_every_layout_loads(tmp_path, light):
    state = light.state_dict()
    torch.save(state, tmp_path / 'plain.pt')
    torch.save({'state_dict': state, 'epoch': 3}, tmp_path / 'wrapped.pth')
    torch.save({f'module.{key}': x for key, x in state.items()}, tmp_path / 'parallel.pt')
    save_file(state, tmp_path / 'safe.safetensors')
    for path in sorted(tmp_path.iterdir()):
        assert_loads(path, light)


def test_weights_of_another_network_are_named(tmp_path, light):
    torch.save(networks.create('msdesis_resnet34').state_dict(), tmp_path / 'light.pt')
    with pytest.raises(ValueError) as error:
        networks.load_checkpoint(light, tmp_path / 'light.pt')
    message = str(error.value)
    assert 'does not fit msdesis_light: 60 missing (feature_extractor.encoder_0' in message
    assert '216 unexpected (feature_extractor.layer_0.0.weight' in message
    assert (
        'of another shape (disparity_head.disp_decoder_1.estimation.0.layer.0.weight '
        '(128, 69, 3, 3) instead of (128, 21, 3, 3)' in message
    )
    assert message.endswith('it looks like msdesis_resnet34')
    assert '\n' not in message


def test_missing_and_unexpected_keys_are_listed_and_nothing_is_loaded(tmp_path, light):
    state = {key: torch.ones_like(x) for key, x in light.state_dict().items()}
    state['head.bias'] = state.pop('segmentation_head.out_conv.bias')
    torch.save(state, tmp_path / 'renamed.pt')
    before = light.segmentation_head.out_conv.weight.clone()
    with pytest.raises(
        ValueError,
        match=r'1 missing \(segmentation_head.out_conv.bias\), '
        r'1 unexpected \(head.bias\)',
    ):
        networks.load_checkpoint(light, tmp_path / 'renamed.pt')
    assert torch.equal(light.segmentation_head.out_conv.weight, before)


def test_what_is_no_checkpoint_says_so(tmp_path, light):
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        networks.load_checkpoint(light, tmp_path / 'nothing.pt')
    (tmp_path / 'text.pt').write_text('hello')
    (tmp_path / 'text.safetensors').write_text('hello')
    torch.save(light, tmp_path / 'pickled.pt')
    torch.save({'epoch': 3}, tmp_path / 'epoch.pt')
    torch.save({'weight': torch.zeros(3)}, tmp_path / 'other.pt')
    for name, sentence in {
        'text.pt': 'is not a plain state_dict',
        'text.safetensors': 'is not a safetensors file',
        'pickled.pt': 'is not a plain state_dict',
        'epoch.pt': 'holds no state_dict',
        'other.pt': 'it looks like no registered network',
    }.items():
        with pytest.raises(ValueError, match=sentence):
            networks.load_checkpoint(light, tmp_path / name)


def test_no_pickled_code_is_executed(tmp_path, light):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'executed'),)

    torch.save({'state_dict': Evil()}, tmp_path / 'evil.pt')
    with pytest.raises(ValueError, match='is not a plain state_dict'):
        networks.load_checkpoint(light, tmp_path / 'evil.pt')
    assert not (tmp_path / 'executed').exists()


def test_the_registry_imports_no_torch():
    code = (
        'import sys; from surgseg_ros import networks; '
        "assert networks.spec('msdesis_light').licence == 'MIT'; "
        "assert networks.available() and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, '-c', code], check=True)
