"""Small folders in the published layouts, made of blocks of constant value."""

from pathlib import Path

import cv2
import numpy as np

SIZE = (32, 40)   # height, width


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def image(size: tuple[int, int] = SIZE, value: int = 90) -> np.ndarray:
    return np.full((*size, 3), (value, value + 1, value + 2), np.uint8)   # BGR


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
            write(root / split / 'labels' / f'{frame}.png',
                  mask(slice(0, 4), 20) + mask(slice(4, 9), 200))
    return root
