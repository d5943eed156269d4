"""Lock files in folders that others may write to."""

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from surgseg_ros.media import children, locks
from surgseg_ros.media.locks import claim, private_folder, reserved


@pytest.fixture(autouse=True)
def fresh_folder():
    private_folder.cache_clear()
    yield
    private_folder.cache_clear()


def test_a_lock_file_that_is_a_link_is_neither_followed_nor_truncated(tmp_path: Path) -> None:
    precious = tmp_path / 'precious'
    precious.write_text('precious')
    run = tmp_path / 'run'
    run.mkdir()
    (run / '.lock').symlink_to(precious)
    with pytest.raises(OSError, match=r'\.lock is a link or no plain file'), reserved(run):
        pass
    assert precious.read_text() == 'precious'


@pytest.mark.parametrize('make', [Path.mkdir, os.mkfifo, lambda path: path.symlink_to('/nowhere')])
def test_what_is_no_plain_file_is_no_lock(make, tmp_path: Path) -> None:
    make(tmp_path / '.lock')
    with pytest.raises(OSError, match=r'\.lock is a link or no plain file'), reserved(tmp_path):
        pass


def test_what_a_lock_file_holds_stays_and_it_is_private(tmp_path: Path) -> None:
    (tmp_path / 'old').mkdir()
    (tmp_path / 'old' / '.lock').write_text('kept')
    with reserved(tmp_path / 'old'), reserved(tmp_path / 'new'):
        pass
    assert (tmp_path / 'old' / '.lock').read_text() == 'kept'
    assert stat.S_IMODE((tmp_path / 'new' / '.lock').stat().st_mode) == 0o600


def test_a_killed_process_gives_its_folder_back(tmp_path: Path) -> None:
    code = (
        'import sys; from pathlib import Path; from surgseg_ros.media.locks import reserved\n'
        'with reserved(Path(sys.argv[1])): print("mine", flush=True); input()'
    )
    words = children.python('-c', code, str(tmp_path))
    with children.start(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == 'mine\n'
        with pytest.raises(ValueError, match='another process is at work'), reserved(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    with reserved(tmp_path):
        pass


def test_names_are_held_once_also_within_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, 'private_folder', lambda: tmp_path)
    with claim('one') as first, claim('one') as second, claim('two') as other:
        assert (first, second, other) == (True, False, True)
    with claim('one') as again:
        assert again


def test_a_name_that_is_taken_by_something_else_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, 'private_folder', lambda: tmp_path)
    victim = tmp_path / 'victim'
    victim.write_text('whole')
    (tmp_path / 'link').symlink_to(victim)
    (tmp_path / 'folder').mkdir()
    with claim('link') as linked, claim('folder') as folder:
        assert not linked and not folder
    assert victim.read_text() == 'whole'


def test_lock_files_lie_where_nobody_else_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    runtime = tmp_path / 'runtime'
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(runtime))
    assert private_folder() == runtime
    runtime.chmod(0o777)
    private_folder.cache_clear()
    own = private_folder()
    assert own == tmp_path / f'surgseg_{os.getuid()}'
    assert stat.S_IMODE(own.stat().st_mode) == 0o700


@pytest.mark.parametrize('taken', ['file', 'open folder', 'link'])
def test_a_folder_name_that_others_have_taken_is_passed_over(
    taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.delenv('XDG_RUNTIME_DIR', raising=False)
    name = tmp_path / f'surgseg_{os.getuid()}'
    if taken == 'file':
        name.write_text('kept')
    elif taken == 'link':
        (tmp_path / 'elsewhere').mkdir(mode=0o700)
        name.symlink_to(tmp_path / 'elsewhere')
    else:
        name.mkdir()
        name.chmod(0o777)
    with claim('one') as first, claim('one') as second:
        assert first and not second
    assert private_folder().parent == tmp_path and private_folder() != name
    if taken == 'link':
        assert not list((tmp_path / 'elsewhere').iterdir())
