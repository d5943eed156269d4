"""SAM's vit_b at its full size, from checkpoints in the published layout, on every backend.

One fill, one export for both runtimes, and the hundreds of MB of both are removed afterwards.
"""

import gc
import shutil

import numpy as np
import pytest
from golden_recipe import GOLDEN, field, fill_network

from surgseg_ros import backends, networks
from surgseg_ros.backends.model import Model
from surgseg_ros.backends.runtime import Runtime
from surgseg_ros.cli import main
from surgseg_ros.networks.card import read_card

torch = pytest.importorskip('torch', reason='networks need torch')

PARTS = {
    'prototype_prompt_encoder_state_dict': 'prototype_prompt_encoder.',
    'sam_decoder_state_dict': 'mask_decoder.',
    'prototypes_state_dict': 'prototypes.',
}


def part(state, prefix):
    return {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """Write model_ckp.pth and sam_vit_b.pth, whose own mask decoder is all zero."""
    folder = tmp_path_factory.mktemp('published')
    state = fill_network(networks.create('surgicalsam', encoder='vit_b')).state_dict()
    tuned = {name: part(state, prefix) for name, prefix in PARTS.items()}
    torch.save(tuned, folder / 'model_ckp.pth')
    sam = {key: x for key, x in state.items() if not key.startswith('proto')}
    sam.update({key: torch.zeros_like(x) for key, x in sam.items() if key.startswith('mask_')})
    torch.save(sam, folder / 'sam_vit_b.pth')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SURGSEG_CACHE', str(folder / 'cache'))
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope='module')
def golden():
    return np.load(GOLDEN / 'sam_vit_b_encoder.npz')


@pytest.fixture(scope='module')
def image(golden):
    image = field('sam_vit_b_input', 3, 1024, 1024, cell=32, noise=0.2)[None]
    np.testing.assert_array_equal(image[:, :, ::128, ::128], golden['image'])
    return image


def assert_golden(features, golden):
    maps = features.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(maps[:, ::16, ::4, ::4], golden['features'], rtol=0, atol=5e-5)
    np.testing.assert_allclose(maps[:, :4, ::2, ::2], golden['first_features'], rtol=0, atol=5e-5)


def test_torch(published, golden, image):
    network = networks.create('surgicalsam', encoder='vit_b').eval()
    networks.load_checkpoint(network, published / 'model_ckp.pth', published / 'sam_vit_b.pth')
    assert network.mask_decoder.iou_token.weight.abs().sum() > 0
    probes = []
    for block in network.image_encoder.blocks:
        block.register_forward_hook(lambda *call: probes.append(call[-1]))
    with torch.inference_mode():
        features = network.encode(torch.from_numpy(image))
    assert_golden(features.numpy(), golden)
    stats = [[x.mean(), x.std(correction=0)] for x in probes]
    np.testing.assert_allclose(stats, golden['block_stats'], rtol=1e-4, atol=1e-5)
    blocks = np.stack([x[0, ::16, ::16, ::16] for x in probes])
    np.testing.assert_allclose(blocks[..., ::4], golden['blocks'], rtol=0, atol=2e-4)


@pytest.mark.long
@pytest.mark.parametrize('kind', ['openvino', 'onnxruntime'])
def test_runtimes(published, golden, image, kind):
    model = Model(
        'surgicalsam',
        published / 'model_ckp.pth',
        {'image': image.shape},
        {'encoder': 'vit_b'},
        published / 'sam_vit_b.pth',
    )
    backend = backends.create(model, Runtime(kind, 'cpu', 'f32'))
    assert_golden(backend.run(image)[0], golden)
    del backend
    gc.collect()


def test_import_writes_one_file_that_says_what_it_is(published, capsys):
    out = published / 'whole.safetensors'
    sam = ['--sam', str(published / 'sam_vit_b.pth')]
    assert main(['models', 'import', str(published / 'model_ckp.pth'), str(out), *sam]) == 0
    card = read_card(out)
    assert card.network == 'surgicalsam'
    assert card.options == {'encoder': 'vit_b', 'num_tokens': 2, 'num_classes': 7, 'grid': 64}
    assert set(card.details['sources_sha256']) == {'model_ckp.pth', 'sam_vit_b.pth'}
    assert main(['models', 'verify', str(out)]) == 0
    assert 'fits surgicalsam: all 325 tensors (encoder=vit_b' in capsys.readouterr().out


def test_what_does_not_fit_is_named(published, capsys):
    alone, sam = published / 'model_ckp.pth', published / 'sam_vit_b.pth'
    network = networks.create('surgicalsam', encoder='vit_b')
    with pytest.raises(ValueError, match=r'194 missing \(image_encoder.pos_embed'):
        networks.load_checkpoint(network, alone)
    state = torch.load(alone, weights_only=True)
    del state['sam_decoder_state_dict']['iou_token.weight']
    torch.save(state, published / 'partial.pth')
    with pytest.raises(ValueError, match=r'1 missing \(mask_decoder.iou_token.weight\)'):
        networks.load_checkpoint(network, published / 'partial.pth', sam)
    with torch.device('meta'):
        huge = networks.create('surgicalsam', encoder='vit_h')
    with pytest.raises(ValueError, match=r'pos_embed \(1, 64, 64, 768\) instead of \(1, 64, 64, '):
        networks.load_checkpoint(huge, alone, sam)
    assert main(['models', 'verify', str(alone)]) == 1
    assert 'looks like surgicalsam, but' in capsys.readouterr().err
