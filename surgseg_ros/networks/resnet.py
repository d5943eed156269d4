"""ResNet (He et al., CVPR 2016), with torchvision's keys and without torchvision."""

from pathlib import Path

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the shape changes (option B)."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """N x in_channels x H x W -> N x channels x H/stride x W/stride."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        features: Tensor = self.relu(self.bn2(self.conv2(x)) + shortcut)
        return features


def basic_stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    """Stack `blocks` BasicBlocks, the first of which has the stride."""
    return _stage(BasicBlock, in_channels, channels, blocks, stride)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, the last 4 times as wide; the stride is the 3x3's (PyTorch's
    habit, not the paper's, and that of the published weights).
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """N x in_channels x H x W -> N x 4 channels x H/stride x W/stride."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        features: Tensor = self.relu(self.bn3(self.conv3(x)) + shortcut)
        return features


class ResNet(nn.Module):
    """ResNet-18 or -50 without the classifier; `channels` are those of its four outputs."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        block, counts = _LAYOUTS[depth]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.channels = tuple(block.expansion * width for width in (64, 128, 256, 512))
        before = (64, *self.channels)
        for level, count in enumerate(counts):
            stage = _stage(block, before[level], 64 << level, count, stride=1 if level == 0 else 2)
            self.add_module(f'layer{level + 1}', stage)

    def first_stages(self, count: int) -> list[nn.Module]:
        """Parts of the first `count` of four stages; the stem belongs to the first."""
        return [self.get_submodule(name) for name in _STAGES[: count + 2 if count else 0]]

    def load_imagenet(self, path: str | Path) -> None:
        """Load torchvision's ImageNet checkpoint (resnet50-0676ba61.pth) except its classifier.

        Raises FileNotFoundError, or ValueError with one sentence if it holds something else.
        """
        from surgseg_ros.networks.checkpoints import misfit, read

        own, known = self.state_dict(), read(Path(path))
        # older checkpoints do not count batches
        tensors = {key: x for key, x in own.items() if key.endswith('num_batches_tracked')}
        tensors |= {key: x for key, x in known.items() if not key.startswith('fc.')}
        reason = misfit(own, tensors)
        if reason:
            raise ValueError(f"{path} is not torchvision's ResNet of this depth: {reason}")
        self.load_state_dict(tensors)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """N x 3 x H x W -> four feature maps, at 1/4, 1/8, 1/16 and 1/32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        features = []
        for level in range(4):
            x = self.get_submodule(f'layer{level + 1}')(x)
            features.append(x)
        return tuple(features)


_STAGES = ('conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4')
_LAYOUTS: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


def _stage(
    block: type[BasicBlock | Bottleneck], in_channels: int, channels: int, count: int, stride: int
) -> nn.Sequential:
    first = block(in_channels, channels, stride)
    others = (block(block.expansion * channels, channels) for _ in range(count - 1))
    return nn.Sequential(first, *others)
