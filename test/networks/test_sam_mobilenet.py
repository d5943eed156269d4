"""The small image encoder of SurgicalSAM: where its blocks come from, and what stays frozen."""

from importlib.util import find_spec

import pytest

from surgseg_ros import networks

torch = pytest.importorskip('torch', reason='networks need torch')
if find_spec('segment_anything') is None:  # its own __init__ would import torchvision
    pytest.skip('SurgicalSAM is made of parts of SAM', allow_module_level=True)

from surgseg_ros.networks.mobilenet_v2 import mobilenet_v2_features  # noqa: E402
from surgseg_ros.networks.sam_mobilenet import LayerNorm2d, MobileNetEncoder  # noqa: E402


def normalised(image, name):
    mean, std = (
        torch.tensor(x).view(3, 1, 1) for x in (networks.spec(name).mean, networks.spec(name).std)
    )
    return (image - mean) / std


def with_statistics(network):
    """Batch normalisation that is no identity."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def test_blocks_of_lwanet_see_what_lwanet_sees(tmp_path):
    torch.manual_seed(0)
    lwanet = with_statistics(networks.create('lwanet', num_classes=3))
    torch.save(lwanet.state_dict(), tmp_path / 'lwanet.pt')
    encoder = MobileNetEncoder().eval()
    encoder.load_blocks(tmp_path / 'lwanet.pt')
    seen = []
    encoder.neck.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        encoder(normalised(image, 'surgicalsam'))
        x = normalised(image, 'lwanet')
        for i in range(1, 7):
            x = lwanet.get_submodule(f'layer{i}')(x)
    assert x.shape == (1, 96, 4, 4) and x.std() > 0.01
    torch.testing.assert_close(seen[0], x, rtol=1e-4, atol=1e-5)


def test_blocks_of_imagenet_see_images_as_sam_normalises_them(tmp_path):
    blocks = torch.nn.ModuleDict({'features': torch.nn.ModuleList(mobilenet_v2_features())})
    torch.save(blocks.state_dict(), tmp_path / 'mobilenet_v2.pth')
    encoder = MobileNetEncoder()
    encoder.load_blocks(tmp_path / 'mobilenet_v2.pth')
    for key, x in encoder.blocks.state_dict().items():
        assert torch.equal(x, blocks.state_dict()[f'features.{key}'])
    assert (encoder.scale == 1).all() and (encoder.shift == 0).all()
    torch.save({'a': torch.zeros(1)}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match="is not torchvision's mobilenet_v2"):
        encoder.load_blocks(tmp_path / 'other.pth')


@pytest.mark.parametrize('frozen', [True, False])
def test_frozen_blocks_keep_their_statistics(frozen):
    encoder = MobileNetEncoder()
    encoder.blocks.requires_grad_(not frozen)
    before = {key: x.clone() for key, x in encoder.blocks.state_dict().items()}
    encoder.train()(torch.randn(2, 3, 64, 64)).sum().backward()
    same = [
        torch.equal(x, before[key])
        for key, x in encoder.blocks.state_dict().items()
        if 'running' in key
    ]
    assert all(same) if frozen else not any(same)
    assert encoder.neck[0].weight.grad is not None
    assert (encoder.blocks[0][0].weight.grad is None) == frozen


def test_the_neck_normalises_as_sams_does():
    own = LayerNorm2d(5, 0.1)
    from surgseg_ros.networks.sam import mask_decoder

    its = mask_decoder().output_upscaling[1]
    reference = type(its)(5)
    reference.load_state_dict({**own.state_dict(), 'bias': torch.arange(5.0)})
    own.load_state_dict(reference.state_dict())
    x = 3 + torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(own(x), reference(x))
