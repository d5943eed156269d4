"""Which cells of SOLO answer for which instances (Wang et al., ECCV 2020, section 3.3.1)."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from surgseg_ros.frames.results import mask_boxes
from surgseg_ros.networks.solo_decode import STRIDES
from surgseg_ros.training.losses.solo import LevelTargets

# px: sqrt(box area) of the instances of a level, for images whose shorter side is 800 px
PUBLISHED_SIDE = 800
PUBLISHED_RANGES = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
_CENTRE = 0.2  # width and height of the centre region, of those of the box


def scale_ranges(side: int) -> list[tuple[float, float]]:
    """Sizes (px) that the levels answer for, where images have this shorter side.

    They shrink with the images: an instance that fills half the image belongs to the same level
    whatever the size. They do not depend on the grids: there are five levels in any case.
    """
    factor = side / PUBLISHED_SIDE
    return [(factor * low, factor * high) for low, high in PUBLISHED_RANGES]


def make_targets(
    instances: Sequence[tuple[np.ndarray, np.ndarray]],
    size: tuple[int, int],
    grids: Sequence[int],
    ranges: Sequence[tuple[float, float]],
) -> list[LevelTargets]:
    """Targets of all levels for a batch.

    instances: class ids n and masks n x H x W bool of each frame, the largest first, H x W being
    `size`, that of the network's input. grids: cells per side. ranges: see scale_ranges.
    """
    shapes = [measure(masks) for _, masks in instances]
    targets = []
    for stride, grid, between in zip(STRIDES, grids, ranges, strict=True):
        shape = 2 * size[0] // stride, 2 * size[1] // stride
        frames = [
            _level(assign_cells(measured, grid, between), class_ids, masks, shape)
            for measured, (class_ids, masks) in zip(shapes, instances, strict=True)
        ]
        categories, cells, owners, masks = zip(*frames, strict=True)
        targets.append(
            LevelTargets(
                torch.stack(categories), _filled(cells, 0), _filled(owners, -1), _filled(masks, 0)
            )
        )
    return targets


class Shapes(NamedTuple):
    """Of n instances: size n, sqrt(width * height) of the box, px; else fractions of the image.

    centres: n x 2, y and x of the centre of mass. extents: n x 2, height and width of the box.
    """

    sizes: np.ndarray
    centres: np.ndarray
    extents: np.ndarray


def measure(masks: np.ndarray) -> Shapes:
    """Shapes of masks n x H x W bool, none of them empty."""
    boxes, image = mask_boxes(masks), np.array(masks.shape[1:])
    extents = (boxes[:, 2:] - boxes[:, :2])[:, ::-1]
    rows, columns = masks.sum(axis=2), masks.sum(axis=1)
    sums = [counts @ (np.arange(counts.shape[1]) + 0.5) for counts in (rows, columns)]
    centres = np.stack(sums, axis=1) / rows.sum(axis=1, keepdims=True)
    return Shapes(np.sqrt(extents.prod(axis=1)), centres / image, extents / image)


def assign_cells(shapes: Shapes, grid: int, between: tuple[float, float]) -> np.ndarray:
    """Index of the instance that each cell answers for, grid x grid int64, -1 for none.

    An instance whose size lies within `between` (px, inclusive) has the cells that its centre
    region touches: 0.2 times the box, around the centre of mass, and one cell to each side at
    most. A cell that several instances want belongs to the last.
    """
    owners = np.full((grid, grid), -1, np.int64)
    for index, (size, centre, extent) in enumerate(zip(*shapes, strict=True)):
        if between[0] <= size <= between[1]:
            rows, columns = (_span(c, e, grid) for c, e in zip(centre, extent, strict=True))
            owners[rows, columns] = index
    return owners


def _span(centre: float, extent: float, grid: int) -> slice:
    """Cells along an axis; centre and extent of the instance are fractions of its length."""
    cell, half = int(centre * grid), _CENTRE * extent / 2
    first = max(int(np.floor((centre - half) * grid)), cell - 1, 0)
    last = min(int(np.floor((centre + half) * grid)), cell + 1, grid - 1)
    return slice(first, last + 1)


def _level(
    owners: np.ndarray, class_ids: np.ndarray, masks: np.ndarray, shape: tuple[int, int]
) -> tuple[Tensor, ...]:
    """One frame's categories, cells, owners and masks; owners: see assign_cells."""
    chosen = np.unique(owners[owners >= 0])
    cells = np.flatnonzero(owners >= 0)
    categories = np.where(owners >= 0, np.append(class_ids, 0)[owners], 0)
    small = np.array([_shrink(masks[index], shape) for index in chosen], bool)
    return (
        torch.from_numpy(categories),
        torch.from_numpy(cells),
        torch.from_numpy(np.searchsorted(chosen, owners.flat[cells])),
        torch.from_numpy(small.reshape(-1, *shape)),
    )


def _shrink(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear, as published; a pixel is inside if at least half of it is."""
    values = cv2.resize(255 * mask.astype(np.uint8), shape[::-1])
    return values >= 128


def _filled(values: Sequence[Tensor], filling: int) -> Tensor:
    """Stack what has different lengths, 1 at least."""
    most = max(1, *map(len, values))
    stacked = values[0].new_full((len(values), most, *values[0].shape[1:]), filling)
    for row, one in zip(stacked, values, strict=True):
        row[: len(one)] = one
    return stacked
