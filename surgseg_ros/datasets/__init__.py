"""Segmentation datasets in their published layouts, one file each. Imports no torch."""

from importlib import import_module
from pathlib import Path
from typing import Any

from surgseg_ros.datasets.base import UNLABELLED, SegmentationDataset, SegmentationSample, opened

__all__ = ['UNLABELLED', 'SegmentationDataset', 'SegmentationSample', 'available', 'open_dataset']

_DATASETS = {
    'cata7': 'surgseg_ros.datasets.cata7:Cata7',
    'endovis17': 'surgseg_ros.datasets.endovis17:EndoVis17',
    'endovis18': 'surgseg_ros.datasets.endovis18:EndoVis18',
    'simulated': 'surgseg_ros.datasets.simulated:Simulated',
}


def available() -> tuple[str, ...]:
    """Names that open_dataset() knows."""
    return tuple(_DATASETS)


def open_dataset(name: str, root: str | Path, split: str, **options: Any) -> SegmentationDataset:
    """Open the split ('train', 'val', 'test') of a dataset in folder root.

    options: as the dataset's class takes them (target, fold, size ...). Raises ValueError with
    one sentence for an unknown name, split or option, and for a folder of another layout.
    """
    if name not in _DATASETS:
        raise ValueError(f'no dataset is called {name!r}; known: {", ".join(available())}')
    module, _, attribute = _DATASETS[name].partition(':')
    kind: type[SegmentationDataset] = getattr(import_module(module), attribute)
    return opened(name, kind, root, split, **options)
