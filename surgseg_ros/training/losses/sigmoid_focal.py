"""Focal loss of independent sigmoids (Lin et al., ICCV 2017, section 3), also for soft targets."""

import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss(
    logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float | None = 0.25
) -> Tensor:
    """|t - p|^gamma times the binary cross entropy of p = sigmoid(logits), of every element.

    target: in 0..1, shaped as the logits. For 0 and 1 this is the focal loss as published; for
    values between them it is the quality focal loss (Li et al., NeurIPS 2020, section 3.1), least
    at p = t. alpha: weight of targets 1, those of 0 have 1 - alpha; None weighs nothing. float32
    also under mixed precision.
    """
    logits, target = logits.float(), target.float()
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    loss = loss * (target - logits.sigmoid()).abs().pow(gamma)
    return loss if alpha is None else loss * (alpha * target + (1 - alpha) * (1 - target))
