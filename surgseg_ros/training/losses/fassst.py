"""FASSST's loss (section 3.5): 5.75 Dice + 3 localisation + 1.25 classification.

Both of the latter are focal losses, as the paper says: over the class scores of every cell, and,
since coordinates are sigmoids, over the coordinates as soft targets. Which cell answers for which
instance is not in the paper; it is as in YOLOv3, which the paper follows (section 3.2): the cell
that the box's centre lies in, and no other. A second instance there goes to the nearest free cell
(assign_cells): 'n is the largest number of instances'. A cell that is not responsible, but whose
box overlaps an instance of the class by more than half, is no negative example for the class.

The mask of an instance is learnt in the box that its cell predicts where that overlaps the true
one by more than half, as at inference, and in the true box before. No gradient goes through a box
into the attention module: the mask loss would shrink boxes to what is easy to segment.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from surgseg_ros.networks.fassst import ROI_SIZE, Fassst, bin_centres
from surgseg_ros.training.losses.dice import dice_loss
from surgseg_ros.training.losses.sigmoid_focal import sigmoid_focal_loss

_OVERLAP = 0.5  # from which on a predicted box is as good as the true one


class Targets(NamedTuple):
    """Instances of N frames, filled up to M each.

    valid: N x M bool. boxes: N x M x 4, fractions. classes: N x M, channels from 0. cells: N x M,
    each used once. masks: N x M x h x w, 0 or 1, the whole frame.
    """

    valid: Tensor
    boxes: Tensor
    classes: Tensor
    cells: Tensor
    masks: Tensor


def fassst_loss(
    network: Fassst,
    image: Tensor,
    targets: Targets,
    mask_weight: float = 5.75,
    location_weight: float = 3.0,
    class_weight: float = 1.25,
) -> dict[str, Tensor]:
    """Loss of normalised frames: 'loss' and its parts, each a mean per instance."""
    coordinates, logits, layers = network.locate(image)
    valid, count = targets.valid, targets.valid.sum().clamp(min=1)
    of_truth = _of_truth(coordinates, targets.classes)  # N x n x M x 4
    overlap = box_iou(of_truth.detach().float().sigmoid(), targets.boxes[:, None])

    hard, weight = _score_targets(logits, overlap, targets)
    classification = (sigmoid_focal_loss(logits, hard) * weight).sum() / count

    frames = torch.arange(len(valid), device=valid.device)[:, None]
    slots = torch.arange(valid.shape[1], device=valid.device)
    own = of_truth[frames, targets.cells, slots]  # N x M x 4
    located = sigmoid_focal_loss(own, targets.boxes, alpha=None).sum(2)
    location = (located * valid).sum() / count

    good = overlap[frames, targets.cells, slots] > _OVERLAP
    boxes = torch.where(good[..., None], own.detach().float().sigmoid(), targets.boxes)
    mask = _mask_loss(network, layers, boxes, targets)
    loss = mask_weight * mask + location_weight * location + class_weight * classification
    return {'loss': loss, 'mask': mask, 'location': location, 'class': classification}


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes ... x 4 (x0 y0 x1 y1), shapes broadcast; 0 of nothing."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    intersection = (high - low).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (first, second)]
    return intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-9)


def _of_truth(coordinates: Tensor, classes: Tensor) -> Tensor:
    """Coordinates N x n x C x 4 of all cells for the classes N x M of the truth: N x n x M x 4."""
    cells = coordinates.shape[1]
    return coordinates.gather(2, classes[:, None, :, None].expand(-1, cells, -1, 4))


def _score_targets(logits: Tensor, overlap: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Target scores N x n x C, and their weights, 0 for those that are ignored (N x n x C)."""
    classes, cells = logits.shape[2], logits.shape[1]
    is_class = F.one_hot(targets.classes, classes).float() * targets.valid[..., None]
    is_cell = F.one_hot(targets.cells, cells).float()
    hard = torch.einsum('nmk,nmc->nkc', is_cell, is_class)
    spared = torch.einsum('nkm,nmc->nkc', (overlap > _OVERLAP).float(), is_class) > 0
    return hard, (~spared | (hard > 0)).float()


def _mask_loss(
    network: Fassst, layers: tuple[Tensor, ...], boxes: Tensor, targets: Targets
) -> Tensor:
    """Dice loss of the masks in boxes N x M x 4; 0 where no frame has an instance."""
    rows = targets.valid.flatten().nonzero()[:, 0]
    rois = network.rois(layers, boxes)
    if not len(rows):
        return 0 * rois.sum()
    logits = network.tail(rois[rows], targets.classes.flatten()[rows])
    masks = targets.masks.flatten(0, 1)[rows, None].float()
    where = bin_centres(boxes, ROI_SIZE).flatten(0, 1)[rows]
    truth = F.grid_sample(masks, where, padding_mode='border', align_corners=False)[:, 0]
    return dice_loss(logits, truth > 0.5)
