"""What lies in the cache of exports is run, so it is not trusted by its name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from surgseg_ros.backends import exports, seals
from surgseg_ros.backends.model import Model


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and exports that take no time."""
    monkeypatch.setenv('SURGSEG_CACHE', str(tmp_path / 'cache'))
    made = []

    def export(model: Model, path: Path) -> None:
        made.append(path)
        path.write_bytes(b'export')

    monkeypatch.setattr(exports, '_export', export)
    exports._temporary.cache_clear()
    return made


@pytest.fixture
def model(tmp_path):
    (tmp_path / 'a.pt').write_bytes(b'a')
    return Model('msdesis_light', tmp_path / 'a.pt', {'left': (1, 3, 32, 32)})


def mode(path):
    return path.stat().st_mode & 0o777


def test_an_export_is_made_once_in_folders_of_its_owner(cache, model, caplog):
    old = os.umask(0)
    try:
        path = exports.onnx_file(model)
    finally:
        os.umask(old)
    assert exports.onnx_file(model) == path and len(cache) == 1
    assert path.read_bytes() == b'export' and seals.intact(path)
    assert mode(path.parent) == mode(path.parent.parent) == 0o700
    assert not caplog.records


@pytest.mark.parametrize('content', [b'', b'exp', b'foreign', b'export and more'])
def test_a_file_that_was_changed_or_cut_off_is_made_again(cache, model, content):
    exports.onnx_file(model).write_bytes(content)
    assert exports.onnx_file(model).read_bytes() == b'export'
    assert len(cache) == 2


@pytest.mark.parametrize('seal', [None, '', 'no hash', '0' * 64])
def test_a_file_without_its_hash_is_made_again(cache, model, seal):
    path = exports.onnx_file(model)
    beside = path.with_name(path.name + '.sha256')
    beside.unlink() if seal is None else beside.write_text(seal)
    assert exports.onnx_file(model).read_bytes() == b'export'
    assert len(cache) == 2 and seals.intact(path)


@pytest.mark.parametrize('place', ['.', 'onnx'])
@pytest.mark.parametrize('bits', [0o770, 0o707])
def test_a_folder_that_others_can_write_to_is_not_used(cache, model, caplog, place, bits):
    path = exports.onnx_file(model)
    folder = exports.cache_folder() / place
    folder.chmod(bits)
    elsewhere = exports.onnx_file(model)
    assert elsewhere != path and elsewhere.read_bytes() == b'export' and len(cache) == 2
    assert exports.onnx_file(model) == elsewhere and len(cache) == 2  # in this process
    (record,) = caplog.records
    assert f'other users can write to {folder}' in record.getMessage()
    assert exports.cache_flaw() == f'other users can write to {folder}'
    assert mode(elsewhere.parent) == 0o700


def test_a_folder_of_another_user_is_not_used(cache, model, monkeypatch):
    path = exports.onnx_file(model)
    monkeypatch.setattr(os, 'geteuid', lambda: path.stat().st_uid + 1)
    assert exports.onnx_file(model) != path
    assert 'belongs to another user' in exports.cache_flaw()


def test_where_nothing_can_be_kept_one_sentence_says_so(model, tmp_path):
    """A cache below a file can be made by nobody, root included; said once for two exports."""
    (tmp_path / 'file').write_text('')
    code = f"""
from pathlib import Path
from surgseg_ros.backends import exports
from surgseg_ros.backends.model import Model
exports._export = lambda model, path: path.write_bytes(b'export')
for side in (32, 64):
    model = Model('msdesis_light', Path({str(model.weights)!r}), {{'left': (1, 3, side, side)}})
    path = exports.onnx_file(model)
    assert path.read_bytes() == b'export'
with exports.compiled_folder('name') as folder:
    (folder / 'a.blob').write_bytes(b'compiled')
print(path)
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'SURGSEG_CACHE': str(tmp_path / 'file' / 'cache')},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stderr.splitlines()
    assert 'exported networks cannot be kept in' in line and 'SURGSEG_CACHE' in line
    assert not Path(done.stdout.strip()).exists()  # nothing is left behind


def test_what_was_compiled_is_dropped_unless_it_is_as_it_was(cache):
    with exports.compiled_folder('name') as folder:
        for name in ('good', 'changed', 'unsealed'):
            (folder / f'{name}.blob').write_bytes(b'compiled')
    (folder / 'changed.blob').write_bytes(b'compilee')
    (folder / 'unsealed.blob.sha256').unlink()
    with exports.compiled_folder('name') as folder:
        assert [path.name for path in folder.glob('*.blob')] == ['good.blob']
    assert mode(folder) == mode(folder.parent) == 0o700
