"""`surgseg infer` as its tests call it, on images of one eye, and what it leaves."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from golden_recipe import texture

from surgseg_ros.cli import main

NAMES = ('a10', 'a2', 'a9')
SIZE = (64, 96)  # height, width


class Infer:
    """`surgseg infer KIND`; a call returns its exit status."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __call__(self, *arguments: object) -> int:
        return main(['infer', self._kind, *map(str, arguments)])

    def refused(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
        """Sentence with which the command refuses; it must be one line."""
        capsys.readouterr()
        assert self(*arguments) == 2
        [line] = capsys.readouterr().err.splitlines()
        return line


def by_torch(weights: Path) -> list[str]:
    """Arguments for a network on the CPU."""
    return ['--weights', str(weights), '--backend', 'torch', '--device', 'cpu']


def write_images(folder: Path) -> Path:
    """Three images of one eye: texture(name, *SIZE) in RGB."""
    folder.mkdir()
    for name in NAMES:
        assert cv2.imwrite(str(folder / f'{name}.png'), texture(name, *SIZE)[..., ::-1])
    return folder


def read(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())
