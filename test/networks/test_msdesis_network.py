import json
import zlib

import numpy as np
import pytest
from golden_recipe import GOLDEN, fill_network, stereo_pair

from surgseg_ros import networks
from surgseg_ros.networks.msdesis import correlate, warp

torch = pytest.importorskip('torch', reason='networks need torch')

NAMES = ('msdesis_light', 'msdesis_resnet34')


def normalised(name, image):
    known = networks.spec(name)
    values = (image / np.float32(255) - np.float32(known.mean)) / np.float32(known.std)
    return torch.from_numpy(values.transpose(2, 0, 1)[None])


@pytest.fixture(scope='module', params=NAMES)
def case(request):
    """Name, network, golden vectors and the pair that they were computed from."""
    golden = np.load(GOLDEN / f'{request.param}_256x320.npz')
    pair = stereo_pair('msdesis', 256, 320)
    assert [zlib.crc32(image.tobytes()) for image in pair] == golden['images_crc32'].tolist()
    network = fill_network(networks.create(request.param))
    return request.param, network, golden, [normalised(request.param, image) for image in pair]


def test_keys_shapes_and_sizes_are_the_published_ones(case):
    name, network, _, _ = case
    expected = json.loads((GOLDEN / f'{name}_state_dict.json').read_text())
    state = network.state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == expected
    assert networks.spec(name).tensors == len(state)
    assert networks.spec(name).parameters == sum(p.numel() for p in network.parameters())


def test_outputs_are_those_of_the_authors_code(case):
    _, network, golden, pair = case
    with torch.inference_mode():
        disparities, logits = network(*pair)
    assert len(disparities) == 6
    for level, disparity in enumerate(disparities):
        step = 3 if level < 2 else 1
        expected = golden[f'd{level}']
        np.testing.assert_allclose(disparity[:, :, ::step, ::step], expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(logits[:, :, ::3, ::3], golden['seg_logits'], rtol=0, atol=5e-4)


def test_features_are_those_of_the_authors_code(case):
    _, network, golden, (left, _) = case
    with torch.inference_mode():
        features = network.feature_extractor(left)
    stats = [[x.mean(), x.std(correction=0), x.abs().max()] for x in features]
    np.testing.assert_allclose(stats, golden['feature_stats'], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features[3][:, ::16], golden['f4'], rtol=0, atol=1e-4)
    np.testing.assert_allclose(features[4][:, ::16], golden['f5'], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    'mode, skipped', [('disparity', 'segmentation_head'), ('segmentation', 'disparity_head')]
)
def test_a_mode_skips_the_other_head_and_changes_nothing_else(case, mode, skipped):
    name, network, _, pair = case
    single = networks.create(name, mode=mode).eval()
    single.load_state_dict(network.state_dict())
    getattr(single, skipped).register_forward_hook(lambda *_: pytest.fail(f'{skipped} ran'))
    with torch.inference_mode():
        both, one = network(*pair), single(*pair)
    kept = 0 if mode == 'disparity' else 1
    assert one[1 - kept] is None
    torch.testing.assert_close(one[kept], both[kept], rtol=0, atol=1e-5)


def test_segmentation_ignores_the_right_image_and_encoder_runs_no_head(case):
    name, network, _, (left, right) = case
    for mode in ('segmentation', 'encoder'):
        single = networks.create(name, mode=mode).eval()
        single.load_state_dict(network.state_dict())
        with torch.inference_mode():
            alone, paired = single(left), single(left, right)
        torch.testing.assert_close(alone, paired, rtol=0, atol=0)
    assert [x.shape[-1] for x in alone[0]] == [160, 80, 40, 20, 10]


def test_gradients_reach_every_parameter_in_training(case):
    name = case[0]
    network = networks.create(name).train()
    disparities, logits = network(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64))
    (sum(d.square().mean() for d in disparities) + logits.square().mean()).backward()
    without = [key for key, p in network.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_correlation_by_its_definition():
    left, right = torch.rand(1, 4, 2, 9), torch.rand(1, 4, 2, 9)
    for shifts in (range(4), range(-2, 3)):
        volume = correlate(left, right, shifts)
        for channel, shift in enumerate(shifts):
            for x in range(9):
                inside = 0 <= x - shift < 9
                product = left[..., x] * right[..., x - shift] if inside else torch.zeros(1, 4, 2)
                torch.testing.assert_close(volume[:, channel, :, x], product.mean(dim=1))


def test_warp_reads_where_the_published_normalisation_points():
    width, disparity = 8, 2.0
    ramp = torch.arange(width, dtype=torch.float32).expand(1, 1, width, width)
    warped = warp(ramp, torch.full((1, 1, width, width), disparity))
    x = torch.arange(width)
    read = (x - disparity) * width / (width - 1) - 0.5
    inside = read >= 0
    torch.testing.assert_close(warped[0, 0, 4][inside], read[inside])


def test_unknown_names_and_modes_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match='msdesis_light, msdesis_resnet34'):
        networks.create('msdesis')
    with pytest.raises(ValueError, match="no mode 'depth'; its modes: multitask, disparity"):
        networks.create('msdesis_light', mode='depth')
