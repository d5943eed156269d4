"""Small folders in the published layouts, made of blocks of constant value."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from surgseg_ros.networks.coco import CLASS_NAMES

# ids up to 90 that COCO has no category of
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
SIZE = (32, 40)  # height, width


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def image(size: tuple[int, int] = SIZE, value: int = 90) -> np.ndarray:
    return np.full((*size, 3), (value, value + 1, value + 2), np.uint8)  # BGR


def mask(columns: slice, value: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """`value` in these columns, 0 elsewhere."""
    pixels = np.zeros(size, np.uint8)
    pixels[:, columns] = value
    return pixels


def endovis17(root: Path, frames: int = 2) -> Path:
    """The challenge's training set; two instruments with parts, and the probe."""
    for number in range(1, 9):
        folder = root / 'train' / f'instrument_dataset_{number}'
        truth = folder / 'ground_truth'
        for frame in range(frames):
            name = f'frame{frame:03d}.png'
            write(folder / 'left_frames' / name, image(value=number))
            shaft_wrist = mask(slice(0, 6), 10) + mask(slice(6, 8), 20)
            write(truth / 'Left_Prograsp_Forceps_labels' / name, shaft_wrist)
            write(truth / 'Right_Large_Needle_Driver_labels' / name, mask(slice(20, 24), 30))
            write(truth / 'Other_labels' / name, mask(slice(30, 33), 40))
    return root


def endovis18(root: Path) -> Path:
    """SurgicalSAM's tree with two frames, of which the second has no instrument."""
    for version in ('train/0', 'train/12', 'val'):
        folder = root / version
        for frame in ('00000', '00149'):
            write(folder / 'images' / 'seq2' / f'{frame}.png', image(value=len(version)))
        masks = folder / 'binary_annotations' / 'seq2'
        write(masks / '00000_class5.png', mask(slice(4, 10), 255))
        write(masks / '00000_class1.png', mask(slice(0, 5), 255))
    for frame, labels in (('00000', mask(slice(8, 9), 7)), ('00149', mask(slice(0, 0), 0))):
        write(root / 'val' / 'annotations' / 'seq2' / f'{frame}.png', labels)
    return root


def cata7(root: Path) -> Path:
    for split, frames in (('train', 2), ('test', 1)):
        for frame in range(frames):
            write(root / split / 'images' / f'{frame}.png', image())
            write(
                root / split / 'labels' / f'{frame}.png',
                mask(slice(0, 4), 20) + mask(slice(4, 9), 200),
            )
    return root


def coco(root: Path, splits: Sequence[str] = ('train2017', 'val2017')) -> Path:
    """COCO 2017: grey and colour JPEG, polygons, a crowd, a picture of nothing."""
    ids = [number for number in range(1, 91) if number not in COCO_GAPS]
    categories = [
        {'supercategory': 'thing', 'id': number, 'name': name}
        for number, name in zip(ids, CLASS_NAMES[1:], strict=True)
    ]
    for split in splits:
        pictures = [
            ('000000000139', image((48, 64))),
            ('000000000285', image((48, 64))[..., 0]),
            ('000000000042', image((64, 48))),
        ]
        content: dict[str, Any] = {
            'info': {},
            'licenses': [],
            'categories': categories[::-1],
            'annotations': [],
            'images': [
                {
                    'license': 1,
                    'id': int(name),
                    'file_name': f'{name}.jpg',
                    'height': pixels.shape[0],
                    'width': pixels.shape[1],
                }
                for name, pixels in pictures
            ],
        }
        for name, pixels in pictures:
            write(root / split / f'{name}.jpg', pixels)
        for number, (picture, category) in enumerate([(139, 1), (139, 90), (285, 13)]):
            content['annotations'].append(
                {
                    'id': 900100184613 + number,
                    'image_id': picture,
                    'category_id': category,
                    'segmentation': [[8, 6, 40, 6, 40, 36, 8, 36], [50, 6, 60, 6, 60, 36]],
                    'area': 1110.0,
                    'bbox': [8, 6, 52, 30],
                    'iscrowd': 0,
                }
            )
        content['annotations'].append(
            {
                'id': 900100259990,
                'image_id': 285,
                'category_id': 1,
                'area': 48 * 10,
                'iscrowd': 1,
                'segmentation': {'size': [48, 64], 'counts': [0, 48 * 10, 48 * 54]},
                'bbox': [0, 0, 10, 48],
            }
        )
        path = root / 'annotations' / f'instances_{split}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return root


def cityscapes(root: Path, splits: Sequence[str] = ('val',), frames: int = 3) -> Path:
    """Frames of 40 x 30 px with a car, two people, a crowd of people and a bus."""
    numbers = np.full((30, 40), 7, np.uint16)  # road
    numbers[2:8, 3:9], numbers[2:8, 12:20] = 26000, 24001
    numbers[20:25, 3:9], numbers[20:25, 12:20], numbers[10:15, 30:39] = 24002, 24, 28000
    for split in splits:
        for frame in range(frames):
            name = f'ulm_{frame:06d}_000019'
            write(
                root / 'leftImg8bit' / split / 'ulm' / f'{name}_leftImg8bit.png',
                np.full((30, 40, 3), 50 * frame, np.uint8),
            )
            write(root / 'gtFine' / split / 'ulm' / f'{name}_gtFine_instanceIds.png', numbers)
    return root
