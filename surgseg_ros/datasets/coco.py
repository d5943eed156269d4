"""COCO's format for instances (Lin et al., ECCV 2014; cocodataset.org/#format-data)."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros.datasets.base import contents
from surgseg_ros.datasets.instances import InstanceDataset, InstanceSample
from surgseg_ros.image_files import read_rgb
from surgseg_ros.metrics.instances import load_truth


class CocoInstances(InstanceDataset):
    """ROOT/annotations/instances_<split>.json and the images that it names in ROOT/<split>.

    So is COCO itself with split='train2017' and so on. images, annotations: folder and file if
    they lie elsewhere. Class ids are 1, 2, ... in the order of the category ids, which
    category_ids has. Annotations of crowds (iscrowd) are no instances and are left out.
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
        self.category_ids = tuple(category['id'] for category in categories)
        self.class_names = ('background', *(category['name'] for category in categories))
        self.image_ids = tuple(sorted(self._coco.imgs))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    def __getitem__(self, index: int) -> InstanceSample:
        """See InstanceDataset."""
        record = self._coco.imgs[self.image_ids[index]]
        image = read_rgb(self._images / record['file_name'])
        found = self._coco.imgToAnns[record['id']]
        found = [one for one in found if not one.get('iscrowd')]
        masks = np.array([self._mask(one, image.shape[:2]) for one in found], bool)
        masks = masks.reshape(-1, *image.shape[:2])
        class_ids = [1 + self.category_ids.index(one['category_id']) for one in found]
        seen = masks.any(axis=(1, 2))
        name = Path(record['file_name']).stem
        return InstanceSample(name, image, np.array(class_ids, np.int64)[seen], masks[seen])

    def _mask(self, annotation: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
        mask: np.ndarray = self._coco.annToMask(annotation)
        if mask.shape != size:
            raise ValueError(
                f'annotation {annotation["id"]} has a mask of {mask.shape[1]}x{mask.shape[0]} px, '
                f'its image is {size[1]}x{size[0]}')
        return mask


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f'there is no {path}, expected COCO annotations; '
                         f'{contents(path.parent)}')
    try:
        return load_truth(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
