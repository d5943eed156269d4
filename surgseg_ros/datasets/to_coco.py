"""Any dataset of instances as a folder in COCO's layout, which CocoInstances reads."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2

from surgseg_ros.datasets.kinds import InstanceDataset, InstanceSample
from surgseg_ros.media.files import whole_file
from surgseg_ros.media.progress import progress
from surgseg_ros.metrics.instances import coco_truth


def write_coco(dataset: InstanceDataset, root: Path, split: str) -> Path:
    """Write ROOT/<split>/000001.png ... and ROOT/annotations/instances_<split>.json, its path.

    Masks are kept exactly, run-length encoded. The category ids are the class ids.
    """
    samples: Iterable[InstanceSample] = (dataset[index] for index in range(len(dataset)))
    sizes, annotations, files = [], [], []
    (root / split).mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(progress(samples, len(dataset)), 1):
        files.append(f'{number:06d}.png')
        image = cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR)
        with whole_file(root / split / files[-1]) as partial:
            if not cv2.imwrite(str(partial), image):
                raise OSError(f'{root / split / files[-1]} could not be written')
        sizes.append((sample.image.shape[0], sample.image.shape[1]))
        annotations += sample.annotations(number)
    content: dict[str, Any] = coco_truth(sizes, annotations, dataset.class_names)
    for record, file in zip(content['images'], files, strict=True):
        record['file_name'] = file
    path = root / 'annotations' / f'instances_{split}.json'
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content))
    return path
