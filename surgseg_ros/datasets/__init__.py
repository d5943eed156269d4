"""Datasets in their published layouts, one file each, in one registry. Imports no torch.

There are three kinds: 'labels' (a class id per pixel), 'instances' (a mask and a class for each
object) and 'stereo' (rectified pairs, with disparity or labels where they are known).
"""

from pathlib import Path
from typing import Literal, overload

from surgseg_ros.datasets.base import opened
from surgseg_ros.datasets.kinds import (
    InstanceDataset,
    InstanceSample,
    SegmentationDataset,
    SegmentationSample,
    StereoDataset,
    StereoSample,
)
from surgseg_ros.metrics.segmentation import UNLABELLED
from surgseg_ros.registry import Registry

__all__ = [
    'UNLABELLED',
    'InstanceDataset',
    'InstanceSample',
    'SegmentationDataset',
    'SegmentationSample',
    'StereoDataset',
    'StereoSample',
    'available',
    'open_dataset',
]

Kind = Literal['labels', 'instances', 'stereo']

_PLACES: dict[Kind, dict[str, str]] = {
    'labels': {
        'cata7': 'cata7:Cata7',
        'endovis17': 'endovis17:EndoVis17',
        'endovis18': 'endovis18:EndoVis18',
        'folder': 'folder:FolderLabels',
        'simulated': 'simulated:Simulated',
    },
    'instances': {
        'cityscapes': 'cityscapes:Cityscapes',
        'coco': 'coco:CocoInstances',
        'endovis17': 'endovis17:EndoVis17Instances',
        'simulated': 'simulated:SimulatedInstances',
    },
    'stereo': {'folder': 'folder:FolderStereo'},
}
_DATASETS = {
    kind: Registry(
        f'dataset of {kind}', {name: f'{__name__}.{place}' for name, place in places.items()}
    )
    for kind, places in _PLACES.items()
}


def available(kind: Kind = 'labels') -> tuple[str, ...]:
    """Names of this kind that open_dataset() knows."""
    return tuple(_DATASETS[kind])


@overload
def open_dataset(
    name: str, root: str | Path, split: str, kind: Literal['labels'] = ..., **options: object
) -> SegmentationDataset: ...


@overload
def open_dataset(
    name: str, root: str | Path, split: str, kind: Literal['instances'], **options: object
) -> InstanceDataset: ...


@overload
def open_dataset(
    name: str, root: str | Path, split: str, kind: Literal['stereo'], **options: object
) -> StereoDataset: ...


def open_dataset(
    name: str, root: str | Path, split: str, kind: Kind = 'labels', **options: object
) -> SegmentationDataset | InstanceDataset | StereoDataset:
    """Open the split ('train', 'val', 'test') of a dataset in folder root.

    options: as the dataset's class takes them (target, fold, size ...). Raises ValueError with
    one sentence for an unknown name, split or option, and for a folder of another layout.
    """
    dataset: SegmentationDataset | InstanceDataset | StereoDataset = opened(
        name, _DATASETS[kind].load(name), root, split, **options
    )
    return dataset
