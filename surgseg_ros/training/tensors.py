"""From 8-bit images to what networks train on; predictors.preprocess does it without torch."""

import numpy as np
import torch
from torch import Tensor

Triple = tuple[float, float, float]


def channels_first(image: np.ndarray) -> Tensor:
    """HxWx3 uint8 -> 3 x H x W uint8."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def normalised(image: Tensor, mean: Triple, std: Triple) -> Tensor:
    """N x 3 x H x W uint8 RGB -> float32, (x / 255 - mean) / std."""
    centre, spread = (
        torch.tensor(values, device=image.device).view(1, 3, 1, 1) for values in (mean, std)
    )
    return (image / 255 - centre) / spread
