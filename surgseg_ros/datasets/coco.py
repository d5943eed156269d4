"""COCO's format for instances (Lin et al., ECCV 2014; cocodataset.org/#format-data)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros.datasets.base import contents
from surgseg_ros.datasets.kinds import InstanceDataset, InstanceSample
from surgseg_ros.media.image_files import read_rgb
from surgseg_ros.metrics.coco_checks import Json, encode
from surgseg_ros.metrics.instances import load_truth


class CocoInstances(InstanceDataset):
    """ROOT/annotations/instances_<split>.json and the images that it names in ROOT/<split>.

    So is COCO itself with split='train2017' and so on. images, annotations: folder and file if
    they lie elsewhere. Class ids are 1, 2, ... in the order of the category ids, which
    category_ids has. What has no pixel in the image is left out.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        images: str | Path | None = None,
        annotations: str | Path | None = None,
    ) -> None:
        self._images = Path(images or root / split)
        path = Path(annotations or root / 'annotations' / f'instances_{split}.json')
        self._coco = _read(path)
        categories = [self._coco.cats[number] for number in sorted(self._coco.cats)]
        for part, key in (('categories', 'name'), ('images', 'file_name')):
            if not all(key in one for one in self._coco.dataset[part]):
                raise ValueError(f'{path}: some of the {part} have no {key!r}')
        self.category_ids = tuple(category['id'] for category in categories)
        self.class_names = ('background', *(category['name'] for category in categories))
        self.image_ids = tuple(sorted(self._coco.imgs))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    def __getitem__(self, index: int) -> InstanceSample:
        """See InstanceDataset."""
        record = self._coco.imgs[self.image_ids[index]]
        path = self._images / record['file_name']
        image, size = read_rgb(path), (record['height'], record['width'])
        if image.shape[:2] != size:
            raise ValueError(
                f'{path} has {image.shape[1]}x{image.shape[0]} px, its annotations '
                f'are for {size[1]}x{size[0]}'
            )
        found = self._coco.imgToAnns[record['id']]
        crowds = [one for one in found if one.get('iscrowd')]
        instances = [one for one in found if not one.get('iscrowd')]
        return InstanceSample(
            path.stem, image, *self._regions(instances, size), *self._regions(crowds, size)
        )

    def _regions(
        self, annotations: Sequence[Json], size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Class ids and masks (height, width as in size) of annotations that are seen."""
        from pycocotools import mask as codec

        masks = np.zeros((len(annotations), *size), bool)
        for mask, one in zip(masks, annotations, strict=True):
            mask[:] = codec.decode(encode(one['segmentation'], size, f'annotation {one["id"]}'))
        class_ids = [1 + self.category_ids.index(one['category_id']) for one in annotations]
        seen = masks.any(axis=(1, 2))
        return np.array(class_ids, np.int64)[seen], masks[seen]


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f'there is no {path}, expected COCO annotations; {contents(path.parent)}')
    try:
        return load_truth(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
