"""Feature pyramid (Lin et al., CVPR 2017), with the keys of mmdetection's."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramid(nn.Module):
    """Brings the levels of a backbone to one width and lets the coarse ones inform the fine."""

    def __init__(self, in_channels: tuple[int, ...], channels: int = 256) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(_Conv(before, channels, 1) for before in in_channels)
        self.fpn_convs = nn.ModuleList(_Conv(channels, channels, 3) for _ in in_channels)

    def forward(
        self, features: tuple[Tensor, ...], halve_finest: bool = False
    ) -> tuple[Tensor, ...]:
        """Maps at 1/4, 1/8, ... -> P2, P3, ...: as many of N x channels, and one of half the size.

        Each map must have exactly twice the height and width of the next. halve_finest: P2 at
        1/8, as bilinear interpolation makes it, which costs less than P2 itself.
        """
        merged = [conv(x) for conv, x in zip(self.lateral_convs, features, strict=True)]
        for level in range(len(merged) - 1, 0, -1):
            coarse = F.interpolate(merged[level], scale_factor=2.0, mode='nearest')
            merged[level - 1] = merged[level - 1] + coarse
        finest: Any = self.fpn_convs[0]
        pyramid = [finest.halved(merged[0]) if halve_finest else finest(merged[0])]
        pyramid += [conv(x) for conv, x in zip(self.fpn_convs[1:], merged[1:], strict=True)]
        return (*pyramid, F.max_pool2d(pyramid[-1], kernel_size=1, stride=2))


class _Conv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, size, padding=size // 2)
        nn.init.xavier_uniform_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x)
        return features

    def halved(self, x: Tensor) -> Tensor:
        """Means of 2x2 of what a 3x3 convolution makes: one of 4x4 and stride 2, a 4/9 of it."""
        kernel = F.avg_pool2d(F.pad(self.conv.weight, (1, 1, 1, 1)), 2, stride=1)
        return F.conv2d(x, kernel, self.conv.bias, stride=2, padding=1)
