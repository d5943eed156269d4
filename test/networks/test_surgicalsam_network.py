"""SurgicalSAM but for the big encoders, whose tests are in test_sam_vit_b.py."""

import json
import subprocess
import sys

import numpy as np
import pytest
from golden_recipe import GOLDEN, field, fill_network

from surgseg_ros import networks

torch = pytest.importorskip('torch', reason='networks need torch')

from surgseg_ros.networks import sam  # noqa: E402
from surgseg_ros.networks.surgicalsam import FROZEN, upscale_masks  # noqa: E402

PUBLISHED = json.loads((GOLDEN / 'surgicalsam_state_dicts.json').read_text())
PARTS = {
    'prototype_prompt_encoder_state_dict': 'prototype_prompt_encoder.',
    'sam_decoder_state_dict': 'mask_decoder.',
    'prototypes_state_dict': 'prototypes.',
}


@pytest.fixture(scope='module', params=[2, 4])
def case(request):
    """Network, golden vectors, features 1 x 64 x 64 x 256, logits and quality of the prompts."""
    golden = np.load(GOLDEN / f'surgicalsam_decoder_T{request.param}.npz')
    network = fill_network(networks.create('surgicalsam', num_tokens=request.param))
    features = field('sam_feats', 256, 64, 64).transpose(1, 2, 0)
    np.testing.assert_array_equal(features[::8, ::8, ::32].transpose(2, 0, 1), golden['features'])
    features = torch.from_numpy(np.ascontiguousarray(features))[None]
    with torch.inference_mode():
        logits, quality = network(features, torch.from_numpy(golden['class_ids']))
    return network, golden, features, logits, quality


def shapes(tensors):
    return {key: list(x.shape) for key, x in tensors.items()}


@pytest.mark.parametrize('tokens', [2, 4])
@pytest.mark.parametrize('encoder', ['vit_b', 'vit_h'])
def test_keys_and_shapes_are_the_published_ones(encoder, tokens):
    with torch.device('meta'):
        network = networks.create('surgicalsam', encoder=encoder, num_tokens=tokens)
    expected = dict(PUBLISHED[f'sam_{encoder}'])
    for part, prefix in PARTS.items():
        tuned = PUBLISHED[f'surgicalsam_{tokens}_tokens'][part]
        expected.update({prefix + key: shape for key, shape in tuned.items()})
    assert shapes(network.state_dict()) == expected
    without = networks.create('surgicalsam', num_tokens=tokens).state_dict()
    assert shapes(without) == {
        key: shape for key, shape in expected.items() if not key.startswith('image_encoder.')
    }


def test_the_spec_counts_what_the_default_has():
    network, known = networks.create('surgicalsam'), networks.spec('surgicalsam')
    assert known.tensors == len(network.state_dict())
    assert known.parameters == sum(p.numel() for p in network.parameters())


def test_prompts_are_those_of_the_authors_code(case):
    network, golden, features, _, _ = case
    prompts = torch.eye(7)[golden['class_ids'] - 1]
    with torch.inference_mode():
        dense, sparse = network.prototype_prompt_encoder(features, network.prototypes(), prompts)
        position = network.prompt_encoder.get_dense_pe()
    dense, position = (x[:, ::32, ::8, ::8] for x in (dense, position))
    np.testing.assert_allclose(dense, golden['dense'], rtol=0, atol=5e-5)
    np.testing.assert_allclose(sparse[..., ::8], golden['sparse'], rtol=0, atol=1e-5)
    np.testing.assert_allclose(position, golden['position_encoding'], rtol=0, atol=1e-6)


def test_masks_and_quality_are_those_of_the_authors_code(case):
    _, golden, _, logits, quality = case
    np.testing.assert_allclose(logits[:, :, ::5, ::5], golden['logits'], rtol=0, atol=2e-4)
    np.testing.assert_allclose(quality, golden['quality'], rtol=0, atol=2e-5)
    frame = upscale_masks(logits, (1024, 1280))[:, 0].numpy()
    np.testing.assert_allclose(frame[:, ::32, ::32], golden['frame_logits'], rtol=0, atol=4e-4)
    sure = np.abs(frame[:, ::16, ::4]) > 4e-4
    np.testing.assert_array_equal((frame > 0)[:, ::16, ::4][sure], golden['frame_mask'][sure])
    assert sure.mean() > 0.999


def test_one_frame_for_all_prompts_is_that_frame_for_each(case):
    network, golden, features, logits, quality = case
    class_ids = torch.from_numpy(golden['class_ids'])
    with torch.inference_mode():
        each = network(features.expand(2, -1, -1, -1), class_ids[:2])
    torch.testing.assert_close(each, (logits[:2], quality[:2]), rtol=0, atol=1e-4)


def test_a_batch_decodes_each_frame_by_itself(case):
    network, _, features, _, _ = case
    frames = torch.cat((features, features.flip(1)))
    with torch.inference_mode():
        both = network(frames, torch.tensor([3, 5]))
        second = network(frames[1:], torch.tensor([5]))
    torch.testing.assert_close([x[1:] for x in both], list(second), rtol=0, atol=1e-4)


def test_gradients_reach_what_is_trained_as_published_and_nothing_else():
    network = networks.create('surgicalsam', encoder='mobilenet_v2').train()
    trained = {key for key, p in network.named_parameters() if p.requires_grad}
    assert trained == {
        key for key in dict(network.named_parameters()) if not key.startswith(FROZEN)
    }
    logits, quality = network(torch.randn(2, 64, 64, 256), torch.tensor([1, 7]))
    (logits.square().mean() + quality.square().mean()).backward()
    assert {key for key, p in network.named_parameters() if p.grad is not None} == trained


def test_smaller_images_and_grids_have_fewer_features():
    network = networks.create('surgicalsam', encoder='mobilenet_v2', grid=16).eval()
    with torch.inference_mode():
        features = network.encode(torch.rand(2, 3, 256, 256))
        logits, quality = network(features, torch.tensor([1, 2]))
        assert network.encode(torch.rand(1, 3, 512, 512)).shape == (1, 16, 16, 256)
    assert features.shape == (2, 16, 16, 256) and logits.shape == (2, 1, 64, 64)
    assert quality.shape == (2,)
    tensors = network.state_dict()
    assert networks.options_of('surgicalsam', tensors) == {
        'encoder': 'mobilenet_v2',
        'num_tokens': 2,
        'num_classes': 7,
        'grid': 16,
    }
    again = networks.create('surgicalsam', **networks.options_of('surgicalsam', tensors))
    assert shapes(again.state_dict()) == shapes(tensors)


class Vit(torch.nn.Module):
    """What encode_image asks of a ViT, without its blocks."""

    def __init__(self, seen):
        super().__init__()
        self.pos_embed = torch.linspace(-1, 1, 64).view(1, 64, 1, 1).expand(1, 64, 64, 8)
        self.patch_embed = lambda images: torch.zeros(len(images), 16, 16, 8)
        self.blocks = [lambda tokens: seen.append(tokens) or tokens]
        self.neck = torch.nn.Identity()


def test_a_vit_gets_its_positions_interpolated_on_smaller_images():
    seen = []
    features = sam.encode_image(Vit(seen), torch.zeros(2, 3, 256, 256))
    assert features.shape == (2, 8, 64, 64)
    expected = torch.linspace(-1, 1, 64).view(16, 4)[:, 1:3].mean(1)
    torch.testing.assert_close(seen[0][0, :, 3, 5], expected)


def test_an_encoder_is_itself_at_its_own_size():
    network = networks.create('surgicalsam', encoder='mobilenet_v2').eval()
    image = torch.rand(1, 3, 1024, 1024)
    with torch.inference_mode():
        features = network.image_encoder(image).permute(0, 2, 3, 1)
        assert torch.equal(network.infer(image)[0], features)


def test_what_cannot_be_is_said_in_a_sentence():
    with pytest.raises(ValueError, match="no encoder is called 'vit_x'; known: vit_b, vit_l"):
        networks.create('surgicalsam', encoder='vit_x')
    with pytest.raises(ValueError, match='has no image encoder: create it with encoder='):
        networks.create('surgicalsam').encode(torch.zeros(1, 3, 1024, 1024))


def test_weights_load_with_or_without_their_image_encoder(tmp_path):
    whole = networks.create('surgicalsam', encoder='mobilenet_v2', num_tokens=4)
    torch.save(whole.state_dict(), tmp_path / 'whole.pt')
    without = networks.create('surgicalsam', num_tokens=4)
    networks.load_checkpoint(without, tmp_path / 'whole.pt')
    assert torch.equal(without.prototypes(), whole.prototypes())
    torch.save(without.state_dict(), tmp_path / 'without.pt')
    with pytest.raises(ValueError, match=r'missing \(image_encoder'):
        networks.load_checkpoint(whole, tmp_path / 'without.pt')
    with pytest.raises(
        ValueError,
        match=r'4 of another shape \(prototype_prompt_encoder.*'
        r'looks like surgicalsam',
    ):
        networks.load_checkpoint(networks.create('surgicalsam'), tmp_path / 'without.pt')


def test_training_begins_from_sam(tmp_path):
    source = networks.create('surgicalsam', encoder='mobilenet_v2')
    state = {key: x for key, x in source.state_dict().items() if not key.startswith('proto')}
    torch.save(state, tmp_path / 'sam.pth')
    network = networks.create('surgicalsam', encoder='mobilenet_v2', num_tokens=4)
    prototypes = network.prototypes().clone()
    network.load_sam(tmp_path / 'sam.pth')
    assert torch.equal(network.prototypes(), prototypes)
    assert all(torch.equal(network.state_dict()[key], x) for key, x in state.items())
    for sign, embedding in enumerate(network.prototype_prompt_encoder.pn_cls_embeddings):
        point = state[f'prompt_encoder.point_embeddings.{sign}.weight']
        assert torch.equal(embedding.weight, point.repeat(4, 1))
    networks.create('surgicalsam').load_sam(tmp_path / 'sam.pth')
    del state['mask_decoder.iou_token.weight']
    torch.save(state, tmp_path / 'sam.pth')
    with pytest.raises(ValueError, match=r'1 missing \(mask_decoder.iou_token.weight\)'):
        network.load_sam(tmp_path / 'sam.pth')


def test_only_the_encoder_is_taken_from_a_checkpoint(tmp_path):
    source = networks.create('surgicalsam', encoder='mobilenet_v2', num_tokens=4)
    torch.save(source.state_dict(), tmp_path / 'whole.pt')
    network = networks.create('surgicalsam', encoder='mobilenet_v2')
    before = {key: x.clone() for key, x in network.state_dict().items()}
    network.load_encoder(tmp_path / 'whole.pt')
    for key, x in network.state_dict().items():
        taken = key.startswith('image_encoder.')
        assert torch.equal(x, source.state_dict()[key] if taken else before[key]), key
    torch.save(networks.create('surgicalsam').state_dict(), tmp_path / 'without.pt')
    with pytest.raises(ValueError, match=r'missing \(image_encoder'):
        network.load_encoder(tmp_path / 'without.pt')


def test_sams_parts_come_without_torchvision_and_leave_the_package_as_it_was():
    code = """
import sys
from surgseg_ros.networks import sam
first = sam.mask_decoder()
assert not {'torchvision', 'segment_anything', 'segment_anything.build_sam'} & sys.modules.keys()
import types
for name in ('torchvision', 'torchvision.ops', 'torchvision.ops.boxes',
             'torchvision.transforms', 'torchvision.transforms.functional'):
    sys.modules[name] = types.ModuleType(name)
sys.modules['torchvision.ops.boxes'].batched_nms = sys.modules['torchvision.ops.boxes'].box_area \\
    = sys.modules['torchvision.transforms.functional'].resize \\
    = sys.modules['torchvision.transforms.functional'].to_pil_image = None
import segment_anything  # the real package, once it can be
assert segment_anything.sam_model_registry and segment_anything.SamPredictor
from segment_anything.modeling import MaskDecoder
assert MaskDecoder is type(first) is type(sam.mask_decoder())
"""
    subprocess.run([sys.executable, '-c', code], check=True)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(sam, 'find_spec', lambda _: None)
    monkeypatch.delitem(sys.modules, 'segment_anything', raising=False)
    with pytest.raises(ImportError, match='pip install segment-anything'):
        sam.mask_decoder()
