"""MobileNetV2 (Sandler et al., CVPR 2018) as a feature extractor, without torchvision.

Layers and keys are those of torchvision's `mobilenet_v2().features`, so that its ImageNet
checkpoints fit; the last 1x1 convolution (features.18) and the classifier are left out.
"""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

# expansion, channels, blocks, stride of the first block (Table 2)
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class ConvBnRelu6(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU6; keeps the size at stride 1."""

    def __init__(
        self, before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter by depthwise 3x3, project by a linear 1x1 (section 3.3)."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        expand = [ConvBnRelu6(before, wide, kernel=1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            ConvBnRelu6(wide, wide, stride=stride, groups=wide),
            nn.Conv2d(wide, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self._shortcut = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """N x before x H x W -> N x after x H/stride x W/stride."""
        y: Tensor = self.conv(x)
        return x + y if self._shortcut else y


def mobilenet_v2_features() -> list[nn.Module]:
    """Return torchvision's features.0 to features.17, initialised as there.

    They end at 16, 24, 32, 96 and 320 channels at 1/2, 1/4, 1/8, 1/16 and 1/32 (after blocks 1,
    3, 6, 13 and 17).
    """
    blocks: list[nn.Module] = [ConvBnRelu6(3, 32, stride=2)]
    before = 32
    for expansion, channels, count, stride in _STAGES:
        for index in range(count):
            first = stride if index == 0 else 1
            blocks.append(InvertedResidual(before, channels, first, expansion))
            before = channels
    for module in nn.ModuleList(blocks).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode='fan_out')
    return blocks


def load_imagenet(blocks: Iterable[nn.Module], path: str | Path) -> None:
    """Load torchvision's ImageNet checkpoint into blocks of mobilenet_v2_features(), in order.

    path: mobilenet_v2-b0353104.pth or mobilenet_v2-7ebf99e0.pth from download.pytorch.org/models.
    Raises FileNotFoundError, or ValueError with one sentence if the file holds something else.
    """
    from surgseg_ros.networks.checkpoints import misfit, read

    features = nn.ModuleDict({'features': nn.ModuleList(blocks)})
    expected = features.state_dict()
    tensors = {key: value for key, value in read(Path(path)).items() if key in expected}
    reason = misfit(expected, tensors)
    if reason:
        raise ValueError(f"{path} is not torchvision's mobilenet_v2: {reason}")
    features.load_state_dict(tensors)
