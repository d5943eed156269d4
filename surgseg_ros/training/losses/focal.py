"""Focal loss (Lin et al., ICCV 2017) over the classes of a pixel, as LWANet uses it (Eq. 5)."""

from torch import Tensor


def focal_loss(
    log_probabilities: Tensor, labels: Tensor, gamma: float, unlabelled: int = 255
) -> Tensor:
    """Mean over the labelled pixels of -(1 - p)^gamma log p, p the probability of the true class.

    log_probabilities: N x C x H x W. labels: N x H x W class ids, `unlabelled` where unknown; 0
    if all are. As in the published code the factor (1 - p)^gamma is a weight without a gradient
    of its own. float32 also under mixed precision.
    """
    known = labels != unlabelled
    ids = labels.long().masked_fill(~known, 0).unsqueeze(1)
    log_p = log_probabilities.float().gather(1, ids).squeeze(1)
    weight = (1 - log_p.detach().exp()).pow(gamma)
    return -(weight * log_p * known).sum() / known.sum().clamp(min=1)
