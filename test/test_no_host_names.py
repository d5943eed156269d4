"""Commands look up nothing in the network: patients' data stays where it is."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import looked_up
import pytest
from golden_recipe import texture

pytest.importorskip('torch', reason='networks need torch')


@pytest.fixture(scope='module')
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_up.build(tmp_path_factory.mktemp('library'))


def names_of(library: Path, folder: Path, *words: str) -> set[str]:
    """Names that this Python, started with these words, has looked up."""
    log = folder / 'names'
    log.touch()
    done = subprocess.run(
        [sys.executable, *words],
        env={
            **os.environ,
            'LD_PRELOAD': str(library),
            'LOOKED_UP': str(log),
            'SURGSEG_CACHE': str(folder / 'cache'),  # exports and compiles, too
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(log.read_text().splitlines())


def test_names_are_seen(library: Path, tmp_path: Path) -> None:
    code = (
        'import socket, subprocess, sys\n'
        'for look in (socket.gethostbyname, lambda name: socket.getaddrinfo(name, 80)):\n'
        '    try: look("a.invalid")\n'
        '    except OSError: pass\n'
        'if len(sys.argv) < 2: subprocess.run([sys.executable, "-c", sys.orig_argv[2], "child"])\n'
    )
    assert names_of(library, tmp_path, '-c', code) == {'a.invalid'}
    log = (tmp_path / 'names').read_text().splitlines()
    assert len(log) == 4  # by both functions, in this process and in its child


def test_infer_looks_up_nothing(library: Path, tmp_path: Path) -> None:
    frames = tmp_path / 'frames'
    frames.mkdir()
    cv2.imwrite(str(frames / '0.png'), texture('names', 128, 160))
    words = ('-m', 'surgseg_ros.cli', 'infer', 'semantic', str(frames))
    found = names_of(library, tmp_path, *words, '--out', str(tmp_path / 'out'))
    assert found <= looked_up.OURS


def test_the_demo_and_its_nodes_look_up_nothing(library: Path, tmp_path: Path) -> None:
    words = ('-m', 'surgseg_ros.cli', 'demo', '--frames', '3', '--out', str(tmp_path / 'out'))
    found = names_of(library, tmp_path, *words, 'source:=sim:width=320,height=256')
    assert found <= looked_up.OURS
