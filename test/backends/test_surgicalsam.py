"""SurgicalSAM's decoder on every backend against the authors' values."""

import numpy as np
import pytest
from golden_recipe import GOLDEN, field, fill_network

from surgseg_ros import backends, networks
from surgseg_ros.backends.model import Model
from surgseg_ros.backends.runtime import Runtime

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module', params=[2, 4])
def case(request, tmp_path_factory):
    """Golden vectors, the decoder of their prompts, and its inputs."""
    tokens, folder = request.param, tmp_path_factory.mktemp('decoder')
    golden = np.load(GOLDEN / f'surgicalsam_decoder_T{tokens}.npz')
    options = {'num_tokens': tokens}
    torch.save(
        fill_network(networks.create('surgicalsam', **options)).state_dict(), folder / 'decoder.pt'
    )
    features = field('sam_feats', 256, 64, 64).transpose(1, 2, 0)[None]
    prompts = np.eye(7, dtype=np.float32)[golden['class_ids'] - 1]
    inputs = {'features': features.shape, 'prompts': prompts.shape}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SURGSEG_CACHE', str(folder / 'cache'))
        model = Model('surgicalsam', folder / 'decoder.pt', inputs, options)
        yield golden, model, (np.ascontiguousarray(features), prompts)


@pytest.mark.parametrize('kind', backends.available())
def test_masks_and_quality_are_those_of_the_authors_code(case, kind):
    golden, model, inputs = case
    logits, quality, prototypes = backends.create(model, Runtime(kind, 'cpu')).run(*inputs)
    np.testing.assert_allclose(logits[:, :, ::5, ::5], golden['logits'], rtol=0, atol=2e-4)
    np.testing.assert_allclose(quality, golden['quality'], rtol=0, atol=2e-5)
    assert prototypes.shape == (7, 256)
    if 'order' in golden:
        np.testing.assert_array_equal(quality.argsort() + 1, golden['order'])
