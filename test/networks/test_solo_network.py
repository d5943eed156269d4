import json
import zlib

import numpy as np
import pytest
from golden_recipe import GOLDEN, fill_network, texture

from surgseg_ros import networks
from surgseg_ros.networks.solo_decode import GRIDS

torch = pytest.importorskip('torch', reason='networks need torch')

NAMES = ('solo_mobilenet', 'solo_r18', 'solo_r50')
GAIN = 'bbox_head.attention.gain'


@pytest.fixture(scope='module')
def golden():
    """Golden vectors and the normalised image that they were computed from."""
    golden, image = np.load(GOLDEN / 'solo_r50_5cls_256x320.npz'), texture('solo', 256, 320)
    assert [zlib.crc32(image.tobytes())] == golden['images_crc32'].tolist()
    known = networks.spec('solo_r50')
    values = (image / np.float32(255) - np.float32(known.mean)) / np.float32(known.std)
    return golden, torch.from_numpy(values.transpose(2, 0, 1)[None])


@pytest.fixture(scope='module')
def network():
    return fill_network(networks.create('solo_r50', num_classes=5))


@pytest.fixture(scope='module')
def outputs(network, golden):
    with torch.inference_mode():
        return network(golden[1])


@pytest.fixture(scope='module')
def small():
    """Return a narrow network with attention whose gain is not zero, and an image for it."""
    options = {
        'num_classes': 3,
        'attention': True,
        'width': 32,
        'depth': 2,
        'grids': (8, 7, 6, 5, 4),
    }
    network = fill_network(networks.create('solo_mobilenet', **options))
    return network, torch.from_numpy(
        texture('small', 64, 96).transpose(2, 0, 1)[None] / np.float32(128) - 1
    )


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_keys_and_shapes_are_the_published_ones():
    expected = json.loads((GOLDEN / 'solo_r50_state_dict.json').read_text())
    state = networks.create('solo_r50').state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == expected


@pytest.mark.parametrize('name', NAMES)
def test_sizes_are_what_the_registry_says(name):
    network, spec = networks.create(name), networks.spec(name)
    assert (len(network.state_dict()), count(network)) == (spec.tensors, spec.parameters)
    assert len(spec.class_names) == 81


def test_parts_have_the_published_sizes(network):
    whole = networks.create('solo_r50')
    parts = [count(getattr(whole, part)) for part in ('backbone', 'neck', 'bbox_head')]
    assert parts == [23_508_032, 3_344_384, 9_448_816]
    assert count(network) == 36_128_357
    assert count(networks.create('solo_mobilenet', num_classes=7, attention=True)) < 6e6


def test_features_are_those_of_the_authors_code(network, golden):
    vectors, image = golden
    with torch.inference_mode():
        pyramid = network.neck(network.backbone(image))
    for level, features in enumerate(pyramid):
        step = 4 if level < 2 else 2
        expected = vectors[f'fpn{level}']
        np.testing.assert_allclose(features[:, ::16, ::step, ::step], expected, atol=1e-3)


def test_logits_are_those_of_the_authors_code(network, golden):
    vectors, image = golden
    with torch.inference_mode():
        masks, categories = network.logits(image)
    for level in range(5):
        channels = 4 * 53 if level < 2 else 53
        sampled = masks[level][:, ::channels, ::4, ::4]
        np.testing.assert_allclose(sampled, vectors[f'ins_raw{level}'], atol=1e-3)
        np.testing.assert_allclose(categories[level], vectors[f'cate_raw{level}'], atol=1e-3)


def test_outputs_are_those_of_the_authors_code(outputs, golden):
    vectors, _ = golden
    for level, (masks, scores) in enumerate(zip(*outputs, strict=True)):
        assert masks.shape == (1, GRIDS[level] ** 2, 64, 80)
        assert scores.shape == (1, GRIDS[level], GRIDS[level], 5)
        expected = vectors[f'ins_eval{level}']
        np.testing.assert_allclose(masks[:, :: 6 * 37, ::4, ::4], expected, atol=1e-3)
        kept = np.packbits(scores.numpy() > 0)
        np.testing.assert_array_equal(kept, vectors[f'cate_eval{level}'])
        raw = torch.from_numpy(vectors[f'cate_raw{level}']).sigmoid().permute(0, 2, 3, 1)
        np.testing.assert_allclose(scores, raw * (scores > 0), atol=1e-3)


def test_instances_are_those_of_the_authors_code(network, outputs, golden):
    vectors, _ = golden
    labels, scores, masks = network.decode(*outputs)
    np.testing.assert_array_equal(labels, vectors['seg_labels'])
    np.testing.assert_allclose(scores, vectors['seg_scores'], atol=1e-3)
    assert masks.shape == (100, 256, 320) and masks.dtype == bool
    # rounding decides single pixels whose probability is 0.5
    assert np.abs(masks.sum(axis=(1, 2)) - vectors['seg_areas']).max() <= 2
    expected = np.unpackbits(vectors['seg_masks_packbits'], axis=-1)
    assert (masks[:10, ::4] != expected).sum() <= 2


def test_attention_without_gain_is_plain_solo_bit_for_bit(network, outputs, golden, tmp_path):
    torch.save(network.state_dict(), tmp_path / 'plain.pt')
    attentive = networks.create('solo_r50', num_classes=5, attention=True).eval()
    networks.load_checkpoint(attentive, tmp_path / 'plain.pt')
    with torch.inference_mode():
        masks, scores = attentive(golden[1])
        attentive.bbox_head.attention.gain += 1
        changed, _ = attentive(golden[1])
    assert all(map(torch.equal, masks, outputs[0]))
    assert all(map(torch.equal, scores, outputs[1]))
    assert not any(map(torch.equal, changed, masks))


def test_only_the_gain_may_be_missing_from_a_checkpoint(tmp_path, small):
    network, _ = small
    options = {
        'num_classes': 3,
        'attention': True,
        'width': 32,
        'depth': 2,
        'grids': (8, 7, 6, 5, 4),
    }
    state = network.state_dict()
    torch.save(state, tmp_path / 'attentive.pt')
    other = networks.create('solo_mobilenet', **options)
    networks.load_checkpoint(other, tmp_path / 'attentive.pt')
    assert torch.equal(other.state_dict()[GAIN], state[GAIN]) and state[GAIN].all()
    plain = networks.create('solo_mobilenet', **{**options, 'attention': False})
    with pytest.raises(ValueError, match=rf'1 unexpected \({GAIN}\)'):
        networks.load_checkpoint(plain, tmp_path / 'attentive.pt')
    del state[GAIN], state['bbox_head.solo_cate.bias']
    torch.save(state, tmp_path / 'less.pt')
    with pytest.raises(ValueError, match=r'1 missing \(bbox_head.solo_cate.bias\)'):
        networks.load_checkpoint(other, tmp_path / 'less.pt')


@pytest.mark.parametrize('scale', ['cosine', 'sqrt', 'none'])
def test_attention_by_its_definition(scale):
    options = {'attention_scale': scale, 'attention_resize': 'nearest'}
    network = networks.create('solo_mobilenet', attention=True, **options)
    attention, side = network.bbox_head.attention, 3
    attention.gain.data.fill_(2.0)
    places = torch.randn(1, 5, side, side)
    maps = attention(0, places, None, torch.Size((side, side)))
    for c in range(side * side):
        for i in range(side):
            for j in range(side):
                v, w = places[0, :, c // side, c % side], places[0, :, i, j]
                size = {'cosine': v.norm() * w.norm(), 'sqrt': 5**0.5, 'none': 1.0}[scale]
                torch.testing.assert_close(maps[0, c, i, j], 2 * (v @ w) / size)
    with pytest.raises(ValueError, match="attention_scale is 'softmax', expected one of cosine"):
        networks.create('solo_mobilenet', attention=True, attention_scale='softmax')


def test_attention_is_resized_as_told():
    maps = {}
    for resize in ('bilinear', 'nearest'):
        network = networks.create('solo_mobilenet', attention=True, attention_resize=resize)
        attention = network.bbox_head.attention
        attention.gain.data.fill_(1.0)
        places = torch.arange(18.0).sin().reshape(1, 2, 3, 3)
        maps[resize] = attention(0, places, None, torch.Size((6, 6)))
    small = maps['nearest'][..., ::2, ::2]
    expected = torch.nn.functional.interpolate(small, size=(6, 6), mode='bilinear')
    torch.testing.assert_close(maps['bilinear'], expected)
    assert torch.equal(maps['nearest'], small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert not torch.allclose(maps['nearest'], maps['bilinear'], atol=0.01)


def test_attention_compares_what_its_source_says(small):
    network, image = small
    pyramid = network.neck(network.backbone(image))
    network.bbox_head.attention.source = 'pyramid'
    before = network.bbox_head(pyramid)[1]
    network.bbox_head.attention.source = 'tower'
    after = network.bbox_head(pyramid)[1]
    network.bbox_head.attention.source = 'pyramid'
    resize = torch.nn.functional.interpolate
    expected = resize(pyramid[1], size=(7, 7), mode='bilinear')
    torch.testing.assert_close(before.places, expected)
    expected = resize(after.tower, size=(7, 7), mode='bilinear')
    torch.testing.assert_close(after.places, expected)


def test_infer_computes_the_masks_of_the_best_cells_and_the_same(small):
    network, image = small
    images = torch.cat((image, image.flip(-1)))
    with torch.inference_mode():
        masks, scores = network(images)
        for network.candidates in (64, 10):
            best, their_scores = network.infer(images)
            start = 0
            for level, side in enumerate((8, 7, 6, 5, 4)):
                stop = start + min(network.candidates, side**2)
                highest = scores[level].flatten(1, 2).amax(dim=2)
                cells = highest.topk(stop - start).indices.sort().values
                for n in range(2):
                    torch.testing.assert_close(
                        best[n, start:stop], masks[level][n, cells[n]], rtol=0, atol=1e-6
                    )
                    torch.testing.assert_close(
                        their_scores[n, start:stop], scores[level][n].flatten(0, 1)[cells[n]]
                    )
                start = stop
            assert best.shape[1] == their_scores.shape[1] == start


def test_points_nms_keeps_the_greatest_of_a_cell_and_those_above_and_left():
    from surgseg_ros.networks.solo import category_scores

    logits = torch.randn(2, 3, 6, 6)
    scores = category_scores(logits).permute(0, 3, 1, 2)
    for i in range(6):
        for j in range(6):
            window = logits[:, :, max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 1].amax(dim=(2, 3))
            expected = logits[:, :, i, j].sigmoid() * (logits[:, :, i, j] == window)
            torch.testing.assert_close(scores[:, :, i, j], expected)


def test_gradients_reach_every_parameter_in_training():
    for options in ({}, {'coordinates': False}):
        network = networks.create('solo_mobilenet', num_classes=2, attention=True, **options)
        masks, categories = network.train().logits(torch.rand(2, 3, 64, 64))
        sum(x.square().mean() for x in (*masks, *categories)).backward()
        without = [key for key, p in network.named_parameters() if p.grad is None]
        assert without == []
        assert all(p.grad.isfinite().all() for p in network.parameters())
        assert network.bbox_head.attention.gain.grad.all()


def test_coordinates_are_two_more_channels_of_the_first_convolution():
    with_them, without = (
        networks.create('solo_mobilenet', coordinates=on).bbox_head.ins_convs[0].conv
        for on in (True, False)
    )
    assert (with_them.in_channels, without.in_channels) == (130, 128)


def test_options_are_told_from_a_checkpoint():
    chosen = {'num_classes': 4, 'coordinates': False, 'attention': True}
    state = networks.create('solo_r18', **chosen).state_dict()
    assert networks.options_of('solo_r18', state) == chosen
