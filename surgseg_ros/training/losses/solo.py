"""SOLO's loss (Wang et al., ECCV 2020, section 3.3): focal loss of categories + 3 Dice of masks.

Masks are computed for the cells that have an instance, no others: of 3872 cells a few dozen.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from surgseg_ros.networks.solo import Level, Solo, SoloHead
from surgseg_ros.training.losses.dice import dice_losses
from surgseg_ros.training.losses.sigmoid_focal import sigmoid_focal_loss


class LevelTargets(NamedTuple):
    """Targets of one level in N frames, padded to K >= 1 cells and M >= 1 instances.

    categories: N x S x S int64 class ids, 0 none. cells: N x K int64, row * S + column. owners: N
    x K int64, which of the masks is a cell's, -1 behind the last. masks: N x M x 2h x 2w bool,
    twice the size of the level's features.
    """

    categories: Tensor
    cells: Tensor
    owners: Tensor
    masks: Tensor


def solo_loss(
    network: Solo, image: Tensor, targets: list[LevelTargets], mask_weight: float = 3.0
) -> dict[str, Tensor]:
    """Loss of normalised frames, N x 3 x H x W: 'loss' and its parts.

    mask: mean over the cells with an instance, of all levels together. category: sum over all
    cells and classes, divided by one more than the number of cells with an instance.
    """
    levels = network.levels(image)
    cells = torch.stack([(target.owners >= 0).sum() for target in targets]).sum()
    masks = [
        _mask_loss(network.bbox_head, k, level, target)
        for k, (level, target) in enumerate(zip(levels, targets, strict=True))
    ]
    categories = [
        _category_loss(level.categories, target.categories)
        for level, target in zip(levels, targets, strict=True)
    ]
    mask = torch.stack(masks).sum() / cells.clamp(min=1)
    category = torch.stack(categories).sum() / (cells + 1)
    return {'loss': mask_weight * mask + category, 'mask': mask, 'category': category}


def _mask_loss(head: SoloHead, k: int, level: Level, target: LevelTargets) -> Tensor:
    """Sum of the Dice losses of a level's cells.

    The padding has weight 0 and is still computed, so that every parameter has a gradient.
    """
    logits = head.mask_logits(k, level, target.cells)
    frames = torch.arange(len(logits), device=logits.device)[:, None]
    truth = target.masks[frames, target.owners.clamp(min=0)]
    losses = dice_losses(logits.flatten(0, 1), truth.flatten(0, 1))
    return (losses * (target.owners.flatten() >= 0)).sum()


def _category_loss(logits: Tensor, class_ids: Tensor) -> Tensor:
    """Sum over logits N x C x S x S; class_ids: N x S x S."""
    wanted = F.one_hot(class_ids, logits.shape[1] + 1)[..., 1:].permute(0, 3, 1, 2)
    return sigmoid_focal_loss(logits, wanted).sum()
