"""Class embeddings: the mean SAM feature of a class's pixels, which its prototype learns from."""

import torch
import torch.nn.functional as F
from torch import Tensor

from surgseg_ros.networks.sam_canvas import GRID, IMAGE_SIZE, frame_on_canvas


def foreground_cells(masks: Tensor, grid: int = GRID) -> Tensor:
    """Which cells of the features a mask covers: N x grid x grid bool.

    masks: N x H x W bool, of the frame. As published: resized and padded to SAM's canvas like the
    frame, then read bilinearly at the centre of each cell; above 0 is covered. Where a mask
    misses every centre, the cells that it touches at all are taken (as published there would be
    none, and the mean of none is NaN).
    """
    height, width = frame_on_canvas(*masks.shape[-2:])
    planes = masks[:, None].float()
    planes = F.interpolate(planes, (height, width), mode='bilinear', antialias=True)
    planes = F.pad(planes, (0, IMAGE_SIZE - width, 0, IMAGE_SIZE - height))
    covered = F.interpolate(planes, (grid, grid), mode='bilinear')[:, 0] > 0
    touched = F.adaptive_max_pool2d(planes, grid)[:, 0] > 0
    return torch.where(covered.any(-1).any(-1)[:, None, None], covered, touched)


def class_embeddings(features: Tensor, cells: Tensor) -> Tensor:
    """Mean of the features over the cells of each mask: N x C float32, zeros for no cell.

    features: N x h x w x C, or 1 x h x w x C for all masks. cells: N x h x w bool.
    """
    total = (features.float() * cells[..., None]).sum((1, 2))
    return total / cells.sum((1, 2)).clamp(min=1)[:, None]
