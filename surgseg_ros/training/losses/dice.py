"""Dice loss in the form of MMSegmentation (Milletari et al., V-Net), as SurgicalSAM uses it."""

from torch import Tensor


def dice_loss(logits: Tensor, target: Tensor, eps: float = 1e-3) -> Tensor:
    """Mean over samples of dice_losses."""
    return dice_losses(logits, target, eps).mean()


def dice_losses(logits: Tensor, target: Tensor, eps: float = 1e-3) -> Tensor:
    """1 - 2 sum(p g) / (sum(p^2) + sum(g^2) + 2 eps) of every sample, p = sigmoid(logits).

    logits: N x H x W. target: N x H x W in 0..1 (or bool). float32 also under mixed precision. A
    sample without foreground costs 1 and has no gradient.
    """
    probability = logits.float().sigmoid().flatten(1)
    truth = target.float().flatten(1)
    overlap = (probability * truth).sum(1)
    squares = probability.square().sum(1) + truth.square().sum(1)
    return 1 - 2 * overlap / (squares + 2 * eps)
