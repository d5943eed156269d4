"""COCO's format for instances (Lin et al., ECCV 2014; cocodataset.org/#format-data)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from surgseg_ros.datasets.base import contents
from surgseg_ros.datasets.kinds import InstanceCounts, InstanceDataset, InstanceSample
from surgseg_ros.media.image_files import read_rgb
from surgseg_ros.metrics.coco_checks import Json, encode
from surgseg_ros.metrics.coco_files import read_json
from surgseg_ros.metrics.instances import load_truth

# where tools write their annotations, and the folders in which the images may lie beside them
_ANNOTATIONS = ('annotations/instances_{split}.json', '{split}/_annotations.coco.json')
_IMAGES = ('{split}', 'images/{split}', 'images', '')


class CocoInstances(InstanceDataset):
    """ROOT/annotations/instances_<split>.json and the images that it names in ROOT/<split>.

    So is COCO itself with split='train2017' and so on. Roboflow's <split>/_annotations.coco.json
    is found, too, and images in ROOT/images (CVAT, Label Studio), in folders below, or named with
    backslashes or the folders of another machine. images, annotations: folder and file if they
    lie elsewhere. Class ids are 1, 2, ... in the order of the category ids, which category_ids
    has. What has no pixel in the image is left out.

    notes: what had to be made of the annotations, in a sentence each.
    Raises ValueError that names the image or the annotation for what cannot be read.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        images: str | Path | None = None,
        annotations: str | Path | None = None,
    ) -> None:
        path = Path(annotations) if annotations else _annotation_file(root, split)
        self._coco, self.notes = _read(path)
        categories = [self._coco.cats[number] for number in sorted(self._coco.cats)]
        for part, key in (('categories', 'name'), ('images', 'file_name')):
            if not all(key in one for one in self._coco.dataset[part]):
                raise ValueError(f'{path}: some of the {part} have no {key!r}')
        self.category_ids = tuple(category['id'] for category in categories)
        self.class_names = ('background', *(category['name'] for category in categories))
        self.image_ids = tuple(sorted(self._coco.imgs))
        folders = [Path(images)] if images else [root / one.format(split=split) for one in _IMAGES]
        self._paths = {
            number: _image_file(self._coco.imgs[number], folders, path)
            for number in self.image_ids
        }

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    def name(self, index: int) -> str:
        """Return what image number index is called; IndexError beyond the last one."""
        return str(self._coco.imgs[self.image_ids[index]]['file_name'])

    def __getitem__(self, index: int) -> InstanceSample:
        """See InstanceDataset."""
        record = self._coco.imgs[self.image_ids[index]]
        path = self._paths[record['id']]
        image, size = read_rgb(path), (record['height'], record['width'])
        if image.shape[:2] != size:
            raise ValueError(
                f'{path} has {image.shape[1]}x{image.shape[0]} px, its annotations '
                f'are for {size[1]}x{size[0]}'
            )
        found = self._coco.imgToAnns[record['id']]
        crowds = [one for one in found if one['iscrowd']]
        instances = [one for one in found if not one['iscrowd']]
        return InstanceSample(
            path.stem, image, *self._regions(instances, size), *self._regions(crowds, size)
        )

    def counts(self) -> InstanceCounts:
        """Of the annotations, whatever of them is seen."""
        found = [one for number in self.image_ids for one in self._coco.imgToAnns[number]]
        names = dict(zip(self.category_ids, self.class_names[1:], strict=True))
        instances = Counter(names[one['category_id']] for one in found if not one['iscrowd'])
        return InstanceCounts(len(self), instances, sum(one['iscrowd'] for one in found))

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


def _annotation_file(root: Path, split: str) -> Path:
    """The first place that exists, else the first."""
    places = [root / place.format(split=split) for place in _ANNOTATIONS]
    return next((place for place in places if place.is_file()), places[0])


def _image_file(record: Json, folders: Sequence[Path], annotations: Path) -> Path:
    """The file of an image: as it is named, without the folders before it, or in a folder below.

    ValueError if there is none, or several.
    """
    name = PurePosixPath(str(record['file_name']).replace('\\', '/'))
    endings = [PurePosixPath(*name.parts[start:]) for start in range(len(name.parts))]
    for folder in folders:
        for ending in endings:
            if ending.name and not ending.is_absolute() and (folder / ending).is_file():
                return folder / ending
    below = sorted(folders[0].rglob(name.name)) if folders[0].is_dir() and name.name else []
    if len(below) == 1:
        return below[0]
    where = f'there are {len(below)} of them below' if below else 'there is none in'
    raise ValueError(
        f'{annotations}: image {record["id"]!r} is {record["file_name"]}, and {where} {folders[0]}'
    )


def _read(path: Path) -> tuple[Any, tuple[str, ...]]:
    if not path.is_file():
        raise ValueError(f'there is no {path}, expected COCO annotations; {contents(path.parent)}')
    content = read_json(path)
    try:
        return load_truth(content)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
