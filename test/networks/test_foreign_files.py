"""Checkpoints of strangers: found below what trainers wrap around them, or said what they are."""

import os
import pickle
import signal
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from surgseg_ros import networks
from surgseg_ros.cli import main
from surgseg_ros.networks import torch_files
from surgseg_ros.networks.card import read_card

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def state():
    torch.manual_seed(0)
    return networks.create('fassst_small', num_classes=1).state_dict()


def prefixed(state, prefix):
    return {f'{prefix}{key}': x for key, x in state.items()}


def zeros(state):
    return {key: torch.zeros_like(x) for key, x in state.items()}


def inside(state, first):
    """torch.compile of a part only."""
    return {key.replace(f'{first}.', f'{first}._orig_mod.', 1): x for key, x in state.items()}


WRAPPED = {
    'model.pth': lambda s: {'model': s, 'epoch': 3},
    'net.pt': lambda s: {'net': s, 'acc': 71.5},
    'model_state_dict.tar': lambda s: {'model_state_dict': s, 'optimizer_state_dict': {'lr': 0.1}},
    'lightning.ckpt': lambda s: {
        'state_dict': prefixed(s, 'model.'),
        'pytorch-lightning_version': '2.1.0',
        'optimizer_states': [{'state': {0: {'exp_avg': torch.zeros(2)}}}],
    },
    'lightning_net.ckpt': lambda s: {'state_dict': prefixed(s, 'net.'), 'loops': {}},
    'compiled.pth': lambda s: prefixed(s, '_orig_mod.'),
    'compiled_inside.pth': lambda s: inside(s, 'pyramid'),
    'compiled_lightning.ckpt': lambda s: {'state_dict': prefixed(s, 'model._orig_mod.')},
    'parallel.pth': lambda s: {'model': prefixed(s, 'module.')},
    'both.pth': lambda s: prefixed(s, 'module._orig_mod.'),
    'averaged_model.pth': lambda s: {**prefixed(s, 'module.'), 'n_averaged': torch.tensor(7)},
    'nested.pth': lambda s: {'checkpoint': {'model': s}, 'args': {'lr': 0.1}},
    'own_name.pth': lambda s: {'segmenter': s, 'epoch': 1},
    'with_ema.pth': lambda s: {'model': s, 'ema': zeros(s), 'model_ema': zeros(s)},
    'UPPER.PTH': lambda s: s,
    'numbers.pth': lambda s: {
        'state_dict': s,
        'best': np.float64(0.358),
        'seed': np.int64(3),
        'half': np.float16(0.5),
        'flag': np.bool_(True),
        'counter': OrderedDict(a=1),
    },
}


def loaded(path, **options):
    network = networks.create('fassst_small', num_classes=1)
    networks.load_checkpoint(network, path, **options)
    return network.state_dict()


def assert_equal(found, expected):
    assert all(torch.equal(found[key], x) for key, x in expected.items())


@pytest.mark.parametrize('name', WRAPPED)
def test_the_weights_are_found(tmp_path, state, name):
    torch.save(WRAPPED[name](state), tmp_path / name)
    assert_equal(loaded(tmp_path / name), state)


def test_prefixes_and_upper_case_of_safetensors(tmp_path, state):
    save_file(prefixed(state, 'model.'), tmp_path / 'OWN.SAFETENSORS', {'network': 'fassst_small'})
    assert_equal(loaded(tmp_path / 'OWN.SAFETENSORS'), state)
    assert read_card(tmp_path / 'OWN.SAFETENSORS').network == 'fassst_small'


def test_averaged_weights_come_only_when_asked_for(tmp_path, state):
    path, out = tmp_path / 'weights.pth', tmp_path / 'out.safetensors'
    torch.save({'state_dict': zeros(state), 'state_dict_ema': prefixed(state, 'module.')}, path)
    assert_equal(loaded(path), zeros(state))
    assert_equal(loaded(path, key='state_dict_ema'), state)
    words = ['models', 'import', str(path), str(out), '--model', 'fassst_small']
    assert main([*words, '--key', 'state_dict_ema']) == 0
    assert_equal(loaded(out), state)
    with pytest.raises(ValueError, match="no weights called 'ema'; it has state_dict, state_dict"):
        loaded(path, key='ema')
    torch.save({'ema': state, 'epoch': 3}, path)
    with pytest.raises(
        ValueError, match=r'averaged weights only: say by name \(--key\) which of ema'
    ):
        loaded(path)


def test_several_state_dicts_are_asked_about(tmp_path, state):
    torch.save({'generator': state, 'critic': zeros(state)}, tmp_path / 'gan.pth')
    with pytest.raises(ValueError, match='several state_dicts: .* of generator, critic$'):
        loaded(tmp_path / 'gan.pth')
    assert_equal(loaded(tmp_path / 'gan.pth', key='generator'), state)


LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 8468040\n'
HTML = '\ufeff\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>'
NAMED = {
    'lfs.pth': (LFS.encode(), 'is a Git LFS pointer of'),
    'lfs.safetensors': (LFS.encode(), 'run git lfs pull'),
    'page.pth': (HTML.encode(), 'is an HTML page'),
    'page.SAFETENSORS': (b'<html>quota exceeded</html>', 'is an HTML page'),
    'empty.pth': (b'', 'is an empty file'),
    'holes.pth': (bytes(5000), 'nothing but zeros'),
    'packed.pth': (b'\x1f\x8b\x08\x00' + bytes(50), 'is a gzip archive'),
    'keras.pth': (b'\x89HDF\r\n\x1a\n' + bytes(50), 'is an HDF5 file'),
}


@pytest.mark.parametrize('name', NAMED)
def test_what_is_something_else_is_named(tmp_path, name, capsys):
    content, words = NAMED[name]
    (tmp_path / name).write_bytes(content)
    assert main(['models', 'verify', str(tmp_path / name)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line and words in line


@pytest.mark.parametrize('share', [0.02, 0.5, 0.999])
@pytest.mark.parametrize('kind', ['zip', 'legacy', 'safetensors'])
def test_what_is_cut_off_says_so(tmp_path, state, kind, share):
    path = tmp_path / ('weights.safetensors' if kind == 'safetensors' else 'weights.pth')
    if kind == 'safetensors':
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == 'zip')
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ValueError, match='weights.* is cut off'):
        loaded(path)


def test_an_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / 'images.pth', 'w') as archive:
        archive.writestr('a.png', b'')
    with pytest.raises(ValueError, match=r'zip archive without weights of torch \(it has a.png\)'):
        loaded(tmp_path / 'images.pth')


class Pickled:
    """Pickles as a call of a function by its name."""

    def __init__(self, function, *arguments, state=None):
        self._made = (function, arguments, state) if state else (function, arguments)

    def __reduce__(self):
        return self._made


OBJECTS = np.array([1, 'a', None], object)
FIELDS = np.dtype([('a', 'f4'), ('b', 'O')])
HOSTILE = {
    'array': np.ones(3),
    'objects': OBJECTS,
    'dtype with fields': FIELDS,
    'void': np.zeros(1, FIELDS)[0],
    'text': np.str_('abc'),
    'complex': np.complex128(1j),
    'object dtype': np.dtype('O'),
    'function': Pickled(os.getpid),
    'path': Path('/tmp'),
}


@pytest.mark.parametrize('name', HOSTILE)
@pytest.mark.parametrize('legacy', [False, True])
def test_nothing_but_numbers_is_made_of_what_lies_beside(tmp_path, state, name, legacy, capsys):
    path = tmp_path / 'weights.pth'
    content = {'state_dict': state, 'meta': HOSTILE[name]}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert main(['models', 'verify', str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'is not a plain state_dict saved by torch, and nothing else is loaded: it has a' in line


def dtype_filled_from_bytes() -> bytes:
    """An object array whose elements are addresses that the file chose, pickled by hand."""
    address = struct.pack('<Q', 0x4141414141414141)
    made = b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR'
    state = b'(K\x03X\x01\x00\x00\x00|NNN' + b'J\xff\xff\xff\xff' * 2 + b'K?tb'
    kind = b'cnumpy\ndtype\n(X\x02\x00\x00\x00O8\x89\x88tR' + state
    return b'\x80\x02' + made + b'(K\x01K\x01\x85' + kind + b'\x89C\x08' + address + b'tb.'


def test_an_array_of_addresses_is_no_crash(tmp_path, state, capsys):
    torch.save(state, tmp_path / 'good.pth')
    path = tmp_path / 'weights.pth'
    with zipfile.ZipFile(tmp_path / 'good.pth') as good, zipfile.ZipFile(path, 'w') as bad:
        for one in good.namelist():
            content = dtype_filled_from_bytes() if one.endswith('data.pkl') else good.read(one)
            bad.writestr(one, content)
    assert main(['models', 'verify', str(path)]) == 1
    assert 'it has a numpy' in capsys.readouterr().err


def test_no_state_reaches_a_dtype():
    kind = torch_files._NumberType('f8', False, True)
    with pytest.raises(ValueError, match='with fields'):
        kind.__setstate__((3, '|', None, ('a',), {'a': (kind, 0)}, 16, 1, 27))
    with pytest.raises(ValueError, match='no number'):
        torch_files._number(kind, b'short')
    with pytest.raises(ValueError, match='no number'):
        torch_files._number('f8', bytes(8))
    for value in (np.float32(0.25), np.int16(-3), np.uint8(200), np.array(2.5, '>f8')[()]):
        pickled = pickle.dumps(value, protocol=2)
        assert pickled  # what torch is given is made by the stand-ins alone
        stand_in = torch_files._NumberType(value.dtype.str)
        stand_in.__setstate__((3, value.dtype.byteorder, None, None, None, -1, -1, 0))
        order = value.dtype.newbyteorder('<') if value.dtype.byteorder == '=' else value.dtype
        assert torch_files._number(stand_in, np.asarray(value, order).tobytes()) == value


@pytest.mark.parametrize('number', [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_reader_that_crashes_is_one_sentence(tmp_path, state, monkeypatch, number, capfd):
    """Whatever file does that: nothing but the reading process ends."""
    torch.save(state, tmp_path / 'weights.pth')
    parent = os.getpid()

    def crash(*_, **__):
        assert os.getpid() != parent
        os.kill(os.getpid(), number)

    monkeypatch.setattr(torch, 'load', crash)
    with pytest.raises(ValueError) as error:
        loaded(tmp_path / 'weights.pth')
    assert str(error.value).endswith(
        f'is damaged or hostile: reading it ended the process that did by {number.name}'
    )
    assert capfd.readouterr().err == ''


def test_a_file_that_asks_for_much_memory_is_refused(tmp_path):
    torch.save({'a': torch.zeros(1).expand(1 << 20, 1 << 20)}, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match='asks for more than 16 GiB of memory'):
        loaded(tmp_path / 'weights.pth')


def test_shared_and_strided_tensors_arrive_as_they_are(tmp_path):
    whole = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {'a': whole, 'b': whole, 'c': whole[:, 1], 'd': whole.transpose(0, 2)}
    torch.save({**tensors, 'e': torch.tensor(3), 'f': whole.bfloat16()}, tmp_path / 'w.pth')
    found = torch_files.read(tmp_path / 'w.pth')
    assert list(found) == list('abcdef') and found['e'] == 3 and found['f'].dtype == torch.bfloat16
    assert_equal(found, tensors)
    found['a'] += 1  # it is one's own memory
    assert torch.equal(found['b'], whole)
