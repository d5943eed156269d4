"""The losses of MSDESIS (Psychogyios et al., IEEE TMI 2022; the authors' loss classes).

disparities: tuple d0, d1, ... of N x 1 x H/2^i x W/2^i, px at that size. Every loss is a scalar.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_DISPARITY = 320.0
POSITIVE_WEIGHT = (1 - 0.15) / 0.15  # tools have about 15 % of the pixels
_WINDOW, _SIGMA = 11, 1.5  # of SSIM
_C1, _C2 = 0.01**2, 0.03**2
_DICE_SMOOTH = 1e-5


def multiscale_smooth_l1(
    disparities: Sequence[Tensor], truth: Tensor, max_disparity: float = MAX_DISPARITY
) -> Tensor:
    """Smooth L1 of every scale at full size, in px of it, over the pixels that have a truth.

    truth: N x 1 x H x W px, known where it is above 0 and below max_disparity. The scales count
    alike. 0 where nothing is known.
    """
    known = (truth > 0) & (truth < max_disparity)
    if not known.any():
        return torch.stack([one.sum() for one in disparities]).sum() * 0
    losses = [
        F.smooth_l1_loss(full_size(one, scale)[known], truth[known])
        for scale, one in enumerate(disparities)
    ]
    return torch.stack(losses).mean()


def photometric_multiscale(
    disparities: Sequence[Tensor],
    left: Tensor,
    right: Tensor,
    photometric: float = 0.7,
    smoothness: float = 0.3,
    ssim_share: float = 0.9,
    scale_weights: Sequence[float] = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
) -> Tensor:
    """How well the right image, moved by the disparity, is the left one; needs no truth.

    left, right: N x 3 x H x W in [0, 1]. smoothness: of the disparity where the image is smooth.
    """
    total = left.new_zeros(())
    for scale, (one, weight) in enumerate(zip(disparities, scale_weights, strict=True)):
        if weight:
            disparity = full_size(one, scale)
            moved = warp(right, disparity)
            photo = ssim_share * ssim_loss(moved, left) + (1 - ssim_share) * F.smooth_l1_loss(
                moved, left
            )
            smooth = edge_aware_smoothness(disparity, left) / 2**scale
            total = total + weight * (photometric * photo + smoothness * smooth)
    return total


def dice_and_weighted_cross_entropy(logits: Tensor, tools: Tensor, share: float = 0.5) -> Tensor:
    """share x weighted cross entropy + (1 - share) x (1 - Dice), Dice per image.

    logits: N x 1 x H x W. tools: N x 1 x H x W, 1 where there is a tool.
    """
    found, true = torch.sigmoid(logits).flatten(1), tools.float().flatten(1)
    both = (found * true).sum(dim=1)
    dice = (2 * both + _DICE_SMOOTH) / ((found + true).sum(dim=1) + _DICE_SMOOTH)
    return share * _cross_entropy(logits, tools) + (1 - share) * (1 - dice).mean()


def jaccard_and_weighted_cross_entropy(
    logits: Tensor, tools: Tensor, share: float = 0.5
) -> Tensor:
    """The same with the Jaccard index of the whole batch in place of Dice."""
    found, true = torch.sigmoid(logits).flatten(), tools.float().flatten()
    both = (found * true).sum()
    union = (found + true).sum() - both
    jaccard = (both + _DICE_SMOOTH) / (union + _DICE_SMOOTH)
    return share * _cross_entropy(logits, tools) + (1 - share) * (1 - jaccard)


def full_size(disparity: Tensor, scale: int) -> Tensor:
    """N x 1 x H/2^scale x W/2^scale px -> N x 1 x H x W px of the full size."""
    if scale == 0:
        return disparity
    full: Tensor = F.interpolate(disparity, scale_factor=2**scale, mode='bilinear') * 2**scale
    return full


def warp(right: Tensor, disparity: Tensor) -> Tensor:
    """The right image as the left camera sees it: pixel x comes from x - disparity."""
    height, width = right.shape[2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=right.device, dtype=right.dtype),
        torch.arange(width, device=right.device, dtype=right.dtype),
        indexing='ij',
    )
    x = 2 * (columns - disparity[:, 0]) / max(width - 1, 1) - 1
    y = (2 * rows / max(height - 1, 1) - 1).expand_as(x)
    return F.grid_sample(right, torch.stack([x, y], dim=-1), align_corners=True)


def ssim_loss(one: Tensor, other: Tensor) -> Tensor:
    """Mean of (1 - SSIM) / 2, cut to [0, 1]; Gaussian window of 11 px, sigma 1.5, mirrored edges.

    Wang et al., IEEE TIP 2004, as kornia 0.5.5 has it. Images N x C x H x W in [0, 1].
    """
    positions = torch.arange(_WINDOW, device=one.device, dtype=one.dtype) - _WINDOW // 2
    weights = torch.exp(-(positions**2) / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    kernel = torch.outer(weights, weights).expand(one.shape[1], 1, -1, -1)

    def mean(image: Tensor) -> Tensor:
        padded = F.pad(image, [_WINDOW // 2] * 4, mode='reflect')
        return F.conv2d(padded, kernel, groups=one.shape[1])

    mean_1, mean_2 = mean(one), mean(other)
    variance_1, variance_2 = mean(one**2) - mean_1**2, mean(other**2) - mean_2**2
    covariance = mean(one * other) - mean_1 * mean_2
    ssim = (2 * mean_1 * mean_2 + _C1) * (2 * covariance + _C2)
    ssim = ssim / ((mean_1**2 + mean_2**2 + _C1) * (variance_1 + variance_2 + _C2))
    return ((1 - ssim) / 2).clamp(0, 1).mean()


def edge_aware_smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Mean change of the disparity, as a share of its mean, that no edge of the image excuses."""
    relative = disparity / disparity.mean(dim=(2, 3), keepdim=True)
    total = disparity.new_zeros(())
    for axis in (2, 3):
        edge = torch.diff(image, dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + (torch.diff(relative, dim=axis) * torch.exp(-edge)).abs().mean()
    return total


def _cross_entropy(logits: Tensor, tools: Tensor) -> Tensor:
    weight = logits.new_tensor(POSITIVE_WEIGHT)
    return F.binary_cross_entropy_with_logits(logits, tools.float(), pos_weight=weight)
