"""What a network starts from: ImageNet, a whole checkpoint, or all of it but some layers."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='training needs torch')

from surgseg_ros import networks  # noqa: E402
from surgseg_ros.networks.bundled import find_weights  # noqa: E402
from surgseg_ros.training.encoder import load_encoder  # noqa: E402
from surgseg_ros.training.start import Network, make_network  # noqa: E402


def start(name: str, num_classes: int, **keys: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    tensors: dict[str, Any] = make_network(
        Network(name=name, **keys), {'num_classes': num_classes}
    ).state_dict()
    return tensors


@pytest.mark.parametrize(
    ('name', 'prefixes'),
    [
        ('solo_mobilenet', ('bbox_head.solo_cate.',)),
        ('fassst_small', ('attention.predict.', 'tail.masks.')),
    ],
)
def test_a_network_starts_from_one_for_other_classes(
    tmp_path: Path, name: str, prefixes: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    before = networks.create(name, num_classes=80).state_dict()
    weights = tmp_path / 'coco.pt'
    torch.save(before, weights)
    with pytest.raises(ValueError, match=f'of another shape .{prefixes[0]}'):
        start(name, 5, weights=str(weights))
    random = start(name, 5)
    after = start(name, 5, weights=str(weights), weights_but=prefixes)
    said = capsys.readouterr().err.strip()
    left_out = [key for key in after if key.startswith(prefixes)]
    assert said == (
        f'{weights}: all but {len(left_out)} tensors, which start anew: ' + ', '.join(left_out)
    )
    for key, values in after.items():
        assert torch.equal(values, random[key] if key in left_out else before[key])


def test_the_rest_is_as_strict_as_ever(tmp_path: Path) -> None:
    tensors = networks.create('solo_mobilenet', num_classes=5).state_dict()
    weights, but = tmp_path / 'x.pt', ('bbox_head.solo_cate.',)
    torch.save(tensors, weights)
    with pytest.raises(ValueError, match="no tensor of the network begins with 'solo_cate'"):
        start('solo_mobilenet', 5, weights=str(weights), weights_but=('solo_cate',))
    with pytest.raises(ValueError, match='network.weights_but needs network.weights'):
        start('solo_mobilenet', 5, weights_but=but)
    del tensors['neck.fpn_convs.0.conv.weight']
    torch.save(tensors, weights)
    with pytest.raises(ValueError, match='1 missing .neck.fpn_convs.0.conv.weight'):
        start('solo_mobilenet', 5, weights=str(weights), weights_but=but)


def test_whole_weights_need_no_other_file(tmp_path: Path) -> None:
    weights, nothing = tmp_path / 'whole.pt', str(tmp_path / 'nothing.pth')
    torch.save(networks.create('solo_mobilenet', num_classes=5).state_dict(), weights)
    whole: dict[str, Any] = {'weights': str(weights), 'imagenet': nothing, 'encoder': nothing}
    start('solo_mobilenet', 5, **whole)
    start('solo_mobilenet', 5, **whole, weights_but=('bbox_head.solo_cate.',))
    with pytest.raises(FileNotFoundError, match='nothing.pth'):
        start('solo_mobilenet', 5, **whole, weights_but=('backbone.features.0.',))


def test_bundled_weights_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_weights('models/lwanet_simulated.safetensors').is_file()
    (tmp_path / 'own.pt').touch()
    assert find_weights('own.pt').resolve() == tmp_path / 'own.pt'
    with pytest.raises(FileNotFoundError, match='there is no checkpoint nothing.pt, neither here'):
        find_weights('nothing.pt')


def test_an_option_that_a_network_has_not_is_said() -> None:
    with pytest.raises(ValueError, match="do not suit solo_r18: .*argument 'foo'"):
        start_with({'foo': 1})


def start_with(options: dict[str, Any]) -> Any:
    return make_network(Network(name='solo_r18'), options)


def test_imagenet_reaches_the_backbone_and_nothing_else(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = networks.create('solo_r18', num_classes=5).backbone.state_dict()
    published = {key: x for key, x in backbone.items() if 'num_batches' not in key}
    classifier = {'fc.weight': torch.zeros(1000, 512), 'fc.bias': torch.zeros(1000)}
    torch.save({**published, **classifier}, tmp_path / 'resnet18.pth')
    random = start('solo_r18', 5)
    after = start('solo_r18', 5, imagenet=str(tmp_path / 'resnet18.pth'))
    for key, values in after.items():
        part, _, rest = key.partition('.')
        assert torch.equal(values, backbone[rest] if part == 'backbone' else random[key])


def test_what_is_no_imagenet_is_said(tmp_path: Path) -> None:
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7)}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match="x.pth is not torchvision's ResNet of this depth: "):
        start('solo_r18', 5, imagenet=str(tmp_path / 'x.pth'))
    with pytest.raises(ValueError, match="x.pth is not torchvision's mobilenet_v2: "):
        start('solo_mobilenet', 5, imagenet=str(tmp_path / 'x.pth'))
    with pytest.raises(ValueError, match='fassst_small has no backbone of ImageNet'):
        start('fassst_small', 5, imagenet=str(tmp_path / 'x.pth'))


@pytest.mark.parametrize(
    ('name', 'first', 'second'),
    [
        ('solo_r18', ['conv1.', 'bn1.', 'layer1.'], ['layer2.']),
        (
            'solo_mobilenet',
            [f'features.{i}.' for i in range(4)],
            [f'features.{i}.' for i in range(4, 7)],
        ),
    ],
)
def test_first_stages_of_a_backbone(name: str, first: list[str], second: list[str]) -> None:
    backbone = networks.create(name, num_classes=5).backbone
    for count, prefixes in enumerate(([], first, first + second)):
        inside = {id(one) for part in backbone.first_stages(count) for one in part.parameters()}
        expected = {
            key for key, _ in backbone.named_parameters() if key.startswith(tuple(prefixes))
        }
        assert {key for key, one in backbone.named_parameters() if id(one) in inside} == expected
    everything = {id(one) for part in backbone.first_stages(4) for one in part.parameters()}
    assert everything == {id(one) for one in backbone.parameters()}


@pytest.mark.parametrize(('name', 'count'), [('solo_mobilenet', 18), ('fassst_small', 16)])
def test_the_encoder_of_an_lwanet_reaches_the_backbone(
    tmp_path: Path, name: str, count: int
) -> None:
    torch.manual_seed(0)
    lwanet = networks.create('lwanet', num_classes=8)
    torch.save(lwanet.state_dict(), tmp_path / 'lwanet.pt')
    network: Any = networks.create(name, num_classes=5)
    load_encoder(network, name, tmp_path / 'lwanet.pt')
    learnt, blocks = lwanet.encoder_blocks(), network.encoder_blocks()
    assert len(blocks) == count
    x = torch.randn(1, 96, 8, 8)
    assert torch.equal(blocks[12].eval()(x), learnt[12].eval()(x))
    random = start(name, 5)
    changed = {
        key
        for key, x in start(name, 5, encoder=str(tmp_path / 'lwanet.pt')).items()
        if not torch.equal(x, random[key])
    }
    assert changed and all(key.startswith(('backbone.', 'pyramid.stages.')) for key in changed)


def test_who_has_no_mobilenet_takes_no_encoder(tmp_path: Path) -> None:
    torch.save(networks.create('lwanet', num_classes=8).state_dict(), tmp_path / 'lwanet.pt')
    with pytest.raises(ValueError, match='solo_r18 has no MobileNetV2: network.encoder must be'):
        start('solo_r18', 5, encoder=str(tmp_path / 'lwanet.pt'))


def test_a_first_layer_sees_images_scaled_as_it_learnt(tmp_path: Path) -> None:
    torch.manual_seed(0)
    lwanet: Any = networks.create('lwanet', num_classes=8)
    torch.save(lwanet.state_dict(), tmp_path / 'lwanet.pt')
    network: Any = networks.create('solo_mobilenet', num_classes=5)
    load_encoder(network, 'solo_mobilenet', tmp_path / 'lwanet.pt')
    image = torch.rand(1, 3, 32, 32)
    results = []
    for name, net in (('lwanet', lwanet), ('solo_mobilenet', network)):
        spec = networks.spec(name)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
        inside = net.encoder_blocks()[0].eval()((image - mean) / std)[..., 1:, 1:]
        assert inside.std() > 0.1
        results.append(inside)
    torch.testing.assert_close(*results)


def test_new_classes_replace_what_depends_on_them_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    from surgseg_ros.networks.card import Card

    torch.manual_seed(0)
    before = networks.create('lwanet', num_classes=3).state_dict()
    weights = tmp_path / 'old.safetensors'
    card = Card('lwanet', {'num_classes': 3}, ('background', 'hook', 'clip'))
    save_file(before, weights, metadata=card.metadata())
    wanted = Network(name='lwanet', weights=str(weights))

    def made(*class_names: str) -> dict[str, Any]:
        torch.manual_seed(1)
        options = {'num_classes': len(class_names)}
        tensors: dict[str, Any] = make_network(wanted, options, class_names).state_dict()
        return tensors

    same = made('background', 'hook', 'clip')
    assert all(torch.equal(same[key], before[key]) for key in before)
    assert not capsys.readouterr().err
    for classes in (('background', 'clip', 'hook'), ('background', 'a', 'b', 'c')):
        after = made(*classes)
        said = capsys.readouterr().err
        assert f'knows hook, clip; the data have {", ".join(classes[1:])}: the last' in said
        changed = {key for key in before if not torch.equal(after[key], before[key])}
        assert changed and all(key.startswith('final.1.') for key in changed)
        assert 'final.1.3.weight' in after
