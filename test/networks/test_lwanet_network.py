import json
import zlib

import numpy as np
import pytest
from golden_recipe import GOLDEN, fill, fill_network, texture

from surgseg_ros import networks
from surgseg_ros.networks.mobilenet_v2 import mobilenet_v2_features

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def network():
    return fill_network(networks.create('lwanet', num_classes=11))


@pytest.fixture(scope='module')
def golden():
    """Golden vectors and the normalised image that they were computed from."""
    golden, image = np.load(GOLDEN / 'lwanet_256x320.npz'), texture('lwanet', 256, 320)
    assert [zlib.crc32(image.tobytes())] == golden['images_crc32'].tolist()
    values = (image / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    return golden, torch.from_numpy(values.transpose(2, 0, 1)[None])


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_keys_and_shapes_are_the_published_ones(network):
    expected = json.loads((GOLDEN / 'lwanet_state_dict.json').read_text())
    state = network.state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == expected
    spec, default = networks.spec('lwanet'), networks.create('lwanet')
    assert spec.tensors == len(default.state_dict()) and spec.parameters == count(default)
    assert len(spec.class_names) == 8


def test_outputs_are_those_of_the_authors_code(network, golden):
    vectors, image = golden
    with torch.inference_mode():
        log_probabilities, (logits,) = network(image), network.infer(image)
    np.testing.assert_allclose(logits, vectors['logits'], rtol=0, atol=1e-4)
    expected = torch.from_numpy(vectors['logits']).log_softmax(dim=1)
    np.testing.assert_allclose(log_probabilities, expected, rtol=0, atol=1e-4)


def ptflops(network, height, width):
    """GFLOPs as the paper counts them (ptflops 0.5.2), whole and of its encoder alone."""
    flops = pytest.importorskip('ptflops', reason='the counter that the paper used')
    encoder = torch.nn.Sequential(*(network.get_submodule(f'layer{i}') for i in range(1, 9)))
    return [
        flops.get_model_complexity_info(
            part, (3, height, width), as_strings=False, print_per_layer_stat=False
        )[0]
        / 1e9
        for part in (network, encoder)
    ]


def test_operations_are_those_of_tables_1_2_and_5(network):
    whole, encoder = ptflops(network, 544, 960)
    without, _ = ptflops(
        networks.create('lwanet', num_classes=11, attention_fusion=False), 544, 960
    )
    assert [round(x, 2) for x in (whole, without)] == [3.39, 3.38]  # Table I
    assert [round(x, 2) for x in (encoder, whole - encoder)] == [3.11, 0.28]  # Table II
    sizes = (512, 640), (352, 448), (256, 320)  # Table V
    assert [round(ptflops(network, *size)[0], 2) for size in sizes] == [2.12, 1.02, 0.53]


def test_parameters_are_table_1_s_but_for_the_attention(network):
    """The published code has 2.07 M; the paper prints 2.06 M, which no published weights have."""
    without = networks.create('lwanet', num_classes=11, attention_fusion=False)
    assert count(without) == 2_026_454 and round(count(without) / 1e6, 2) == 2.03  # as printed
    assert count(network) == 2_071_542 and round(count(network) / 1e6, 2) == 2.07  # not 2.06
    assert sum(count(block) for block in mobilenet_v2_features()) == 1_811_712


def test_gradients_reach_every_parameter_in_training():
    network = networks.create('lwanet').train()
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert [key for key, p in network.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_options_are_read_from_a_checkpoint():
    for options in ({}, {'num_classes': 11}, {'attention_fusion': False}):
        state = networks.create('lwanet', **options).state_dict()
        assert networks.options_of('lwanet', state) == options


def imagenet_checkpoint():
    """What torchvision publishes, with all its keys, in order of its layers."""
    features = torch.nn.ModuleDict({'features': torch.nn.ModuleList(mobilenet_v2_features())})
    shapes = {key: tuple(x.shape) for key, x in features.state_dict().items()}
    last = {
        '0.weight': (1280, 320, 1, 1),
        '1.num_batches_tracked': (),
        **dict.fromkeys(('1.weight', '1.bias', '1.running_mean', '1.running_var'), (1280,)),
    }
    shapes |= {f'features.18.{key}': shape for key, shape in last.items()}
    shapes |= {'classifier.1.weight': (1000, 1280), 'classifier.1.bias': (1000,)}
    assert len(shapes) == 314  # as many as mobilenet_v2-b0353104.pth has
    return {key: torch.from_numpy(fill(key, shape)) for key, shape in shapes.items()}


def test_imagenet_weights_reach_the_encoder_and_nothing_else(tmp_path):
    published = imagenet_checkpoint()
    torch.save(published, tmp_path / 'mobilenet_v2-b0353104.pth')
    network = networks.create('lwanet')
    before = {key: x.clone() for key, x in network.state_dict().items()}
    network.load_imagenet(tmp_path / 'mobilenet_v2-b0353104.pth')
    after = network.state_dict()
    changed = [key for key in after if not torch.equal(after[key], before[key])]
    assert all(key.startswith('layer') for key in changed)
    starts = {
        'layer1': 0,
        'layer2': 1,
        'layer3.0': 2,
        'layer3.1': 3,
        'layer4.2': 6,
        'layer5.0': 7,
        'layer6.2': 13,
        'layer7.0': 14,
        'layer8.0': 17,
    }
    for block, index in starts.items():
        for key, tensor in network.get_submodule(block).state_dict().items():
            assert torch.equal(tensor, published[f'features.{index}.{key}']), key


def test_other_checkpoints_are_refused_in_a_sentence(tmp_path):
    torch.save({'fc.weight': torch.zeros(3)}, tmp_path / 'resnet.pth')
    with pytest.raises(ValueError, match="is not torchvision's mobilenet_v2: 306 missing"):
        networks.create('lwanet').load_imagenet(tmp_path / 'resnet.pth')
    with pytest.raises(FileNotFoundError):
        networks.create('lwanet').load_imagenet(tmp_path / 'nothing.pth')
