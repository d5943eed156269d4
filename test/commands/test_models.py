"""surgseg models: list, info, verify, import."""

from collections import OrderedDict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from golden_recipe import fill_network

from surgseg_ros import networks, predictors
from surgseg_ros.cli import main
from surgseg_ros.networks.card import Card, read_card

torch = pytest.importorskip('torch')
pytest.importorskip('safetensors')


@pytest.fixture(scope='module')
def state() -> dict:
    return fill_network(networks.create('msdesis_light')).state_dict()


@pytest.fixture
def checkpoint(tmp_path: Path, state: dict) -> Path:
    torch.save(state, tmp_path / 'light.pt')
    return tmp_path / 'light.pt'


def test_list_and_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['models', 'list']) == 0
    text = capsys.readouterr().out
    assert 'published at none' not in text
    assert 'sgbm                           -  -                                 needs none' in text
    for name in networks.available():
        known = networks.spec(name)
        assert main(['models', 'info', name]) == 0
        info = capsys.readouterr().out
        facts = [known.homepage, known.licence, f'{known.parameters:,}', str(known.tensors)]
        assert name in text and all(fact in info for fact in facts)
        assert all(published.name in info for published in known.checkpoints)
    assert main(['models', 'info', 'fassst_416']) == 0
    text = capsys.readouterr().out
    assert 'resized to 416 x 416 px' in text and 'published at  nowhere' in text
    assert main(['models', 'info', 'sgbm']) == 0
    assert 'needs no weights' in capsys.readouterr().out


def test_a_size_that_no_tensor_tells_is_asked_for(tmp_path: Path, capsys) -> None:
    path, out = tmp_path / 'own.pth', tmp_path / 'own.safetensors'
    torch.save(networks.create('fassst_768', num_classes=7, head_depth=6).state_dict(), path)
    assert main(['models', 'verify', str(path)]) == 0
    assert [line.split(':')[0].split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        'fassst_416',
        'fassst_768',
    ]
    assert main(['models', 'import', str(path), str(out)]) == 2
    assert 'fits fassst_416, fassst_768: say which by --model' in capsys.readouterr().err
    assert main(['models', 'import', str(path), str(out), '--model', 'lwanet']) == 2
    assert 'fits fassst_416, fassst_768, not lwanet' in capsys.readouterr().err
    assert main(['models', 'import', str(path), str(out), '--model', 'fassst_768']) == 0
    card = read_card(out)
    assert card.network == 'fassst_768'
    assert (card.options['num_classes'], card.options['head_depth']) == (7, 6)
    capsys.readouterr()
    assert main(['models', 'verify', str(out)]) == 0  # by its card
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and 'fits fassst_768' in lines[0]


def test_a_card_that_is_there_is_kept(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path, out = tmp_path / 'own.safetensors', tmp_path / 'again.safetensors'
    options = {'num_classes': 2, 'num_boxes': 9, 'size': 128}
    card = Card('fassst_small', options, ('background', 'hook', 'clip'), {'recipe': 'mine'})
    save_file(networks.create('fassst_small', **options).state_dict(), path, card.metadata())
    assert main(['models', 'import', str(path), str(out)]) == 0
    again = read_card(out)
    assert (again.network, again.class_names) == (card.network, card.class_names)
    assert options.items() <= again.options.items() and again.details['recipe'] == 'mine'


@pytest.mark.parametrize('name', networks.available())
def test_verify_names_the_network(tmp_path: Path, name: str, capsys) -> None:
    torch.save(networks.create(name).state_dict(), tmp_path / 'some.pth')
    assert main(['models', 'verify', str(tmp_path / 'some.pth')]) == 0
    assert f'fits {name}: all {networks.spec(name).tensors} tensors' in capsys.readouterr().out


def missing(state: dict) -> None:
    del state['segmentation_head.out_conv.bias']


def reshaped(state: dict) -> None:
    state['segmentation_head.out_conv.bias'] = torch.zeros(7)


def foreign(state: dict) -> None:
    state.clear()
    state['fc.weight'] = torch.zeros(3)


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (missing, 'looks like msdesis_light, but 1 missing (segmentation_head.out_conv.bias)'),
        (reshaped, 'out_conv.bias (7,) instead of (1,)'),
        (
            foreign,
            f'fits no registered network ({", ".join(networks.available())}): it has 1 tensors',
        ),
    ],
)
def test_a_misfit_is_1_for_verify_and_2_for_import(
    tmp_path: Path, state: dict, damage, sentence: str, capsys
) -> None:
    state, path = dict(state), tmp_path / 'some.pt'
    damage(state)
    torch.save(state, path)
    assert main(['models', 'verify', str(path)]) == 1
    assert main(['models', 'import', str(path), str(tmp_path / 'out.safetensors')]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(sentence in line for line in lines)
    assert list(tmp_path.iterdir()) == [path]


def test_not_a_checkpoint(tmp_path: Path, capsys) -> None:
    (tmp_path / 'text.pt').write_text('hello')
    assert main(['models', 'verify', str(tmp_path / 'text.pt')]) == 1
    assert main(['models', 'verify', str(tmp_path / 'nothing.pt')]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_import_converts_to_safetensors(checkpoint: Path, tmp_path: Path, state: dict) -> None:
    out = tmp_path / 'folder' / 'light.safetensors'
    assert main(['models', 'import', str(checkpoint), str(out)]) == 0
    card = read_card(out)
    assert card.network == 'msdesis_light' and card.class_names == ('tissue', 'tool')
    assert [len(digest) for digest in card.details['sources_sha256'].values()] == [64]
    network = networks.create('msdesis_light')
    networks.load_checkpoint(network, out)
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert main(['models', 'verify', str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ['light.safetensors']


def test_import_replaces_nothing_unasked(checkpoint: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'out.safetensors'
    out.write_text('precious')
    assert main(['models', 'import', str(checkpoint), str(out)]) == 2
    assert out.read_text() == 'precious'
    assert '--overwrite replaces it' in capsys.readouterr().err
    assert main(['models', 'import', str(checkpoint), str(out), '--overwrite']) == 0
    assert main(['models', 'verify', str(out)]) == 0
    assert main(['models', 'import', str(checkpoint), str(tmp_path / 'out.pt')]) == 2
    assert 'must end in .safetensors' in capsys.readouterr().err


def published_solo(path: Path, **meta: object) -> None:
    """Write a checkpoint as mmdetection does, of SOLO's keys; its tensors take no space."""
    shapes = networks.create('solo_r50').state_dict()
    state = OrderedDict(
        (f'module.{key}', torch.full((), 0.5, dtype=x.dtype).expand(x.shape))
        for key, x in shapes.items()
    )
    meta = {'mmdet_version': '1.0.0', 'config': 'model = dict()', 'CLASSES': ('person',), **meta}
    optimiser = {'state': {0: {'momentum_buffer': torch.zeros(3)}}, 'param_groups': []}
    torch.save(
        {'meta': meta, 'state_dict': state, 'optimizer': optimiser},
        path,
        _use_new_zipfile_serialization=False,
    )


def test_import_of_mmdetections_file_with_all_that_it_notes(tmp_path: Path) -> None:
    path, out = tmp_path / 'solo_r50_fpn_8gpu_3x.pth', tmp_path / 'solo.safetensors'
    published_solo(
        path, best=np.float64(0.358), seed=np.int64(3), time=datetime(2020, 1, 14, 3, 2)
    )
    # NumPy 1, with which the authors saved theirs, knows it by another name
    content = path.read_bytes()
    assert b'numpy._core.multiarray' in content or b'numpy.core.multiarray' in content
    path.write_bytes(content.replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    assert main(['models', 'import', str(path), str(out)]) == 0
    card = read_card(out)
    assert card.network == 'solo_r50' and card.options['num_classes'] == 80
    network = networks.create('solo_r50')
    networks.load_checkpoint(network, out)
    assert all((x == x.new_tensor(0.5)).all() for x in network.state_dict().values())


def test_imported_classes_of_one_s_own_are_numbered_until_they_are_named(tmp_path: Path) -> None:
    path, out = tmp_path / 'own.pth', tmp_path / 'own.safetensors'
    torch.save(networks.create('solo_mobilenet', num_classes=2).state_dict(), path)
    assert main(['models', 'import', str(path), str(out)]) == 0
    names = ('background', 'hook', 'clip')
    assert predictors.create('solo_mobilenet', weights=out).class_names == (
        'background',
        'class 1',
        'class 2',
    )
    assert predictors.create('solo_mobilenet', weights=out, class_names=names).class_names == names


def test_what_else_is_in_a_file_is_said_and_not_made(tmp_path: Path, capsys) -> None:
    published_solo(tmp_path / 'solo.pth', work_dir=tmp_path)
    assert main(['models', 'verify', str(tmp_path / 'solo.pth')]) == 1
    assert 'nothing else is loaded: it has a pathlib.' in capsys.readouterr().err
