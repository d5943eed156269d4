"""Eight simulated frames, which the tests share that learn or look at instances."""

from pathlib import Path

import pytest

from surgseg_ros.datasets import InstanceDataset, open_dataset

FRAMES = {
    'split': 'train',
    'frames': 8,
    'frames_per_scene': 2,
    'size': [320, 256],
    'tools': [2, 3],
}


def root_of(factory: pytest.TempPathFactory) -> Path:
    """Where the frames of all tests of a session lie."""
    return factory.getbasetemp() / 'eight_frames'


def render(root: Path) -> InstanceDataset:
    """The frames, which the first one who asks waits for."""
    return open_dataset('simulated', root, **FRAMES, workers=2, kind='instances')
