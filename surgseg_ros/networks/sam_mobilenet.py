"""A small image encoder in the place of SAM's ViT: MobileNetV2 to 1/16, then a neck like SAM's.

Ours; no paper. Kirillov et al. (ICCV 2023) end their ViT in the same neck (1x1 and 3x3 convolution
to 256 channels, each normalised per pixel), so that decoder and prompts are SurgicalSAM's own.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surgseg_ros import networks
from surgseg_ros.networks.mobilenet_v2 import load_imagenet, mobilenet_v2_features
from surgseg_ros.networks.sam_canvas import CHANNELS

_BLOCKS, _WIDTH = 14, 96  # features.0 to features.13 of MobileNetV2 end at 1/16
# Features of SAM are of about this size. Prompts multiply them by their product with a prototype,
# so that features of size 1 would be hundreds of times as large in the decoder.
_FEATURE_SIZE = 0.1


class MobileNetEncoder(nn.Module):
    """N x 3 x S x S, normalised for SAM -> features N x 256 x S/16 x S/16.

    scale and shift turn SAM's normalisation (ImageNet's) into the one that the blocks were trained
    with, exactly, borders included; they are stored with the weights. While no block requires a
    gradient, their batch normalisation keeps its statistics, too.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*mobilenet_v2_features()[:_BLOCKS])
        self.neck = nn.Sequential(
            nn.Conv2d(_WIDTH, CHANNELS, 1, bias=False),
            LayerNorm2d(CHANNELS),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            LayerNorm2d(CHANNELS, _FEATURE_SIZE),
        )
        self.register_buffer('scale', torch.ones(3, 1, 1))
        self.register_buffer('shift', torch.zeros(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        features: Tensor = self.neck(self.blocks(images * self.scale + self.shift))
        return features

    def train(self, mode: bool = True) -> 'MobileNetEncoder':
        """Frozen blocks stay in evaluation mode."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.blocks.parameters()):
            self.blocks.eval()
        return self

    def load_blocks(self, path: str | Path) -> None:
        """Take the blocks from torchvision's ImageNet checkpoint, or from one of LWANet.

        Raises what networks.load_checkpoint raises.
        """
        from surgseg_ros.networks.checkpoints import read

        tensors = read(Path(path))
        if 'layer1.0.weight' not in tensors:
            load_imagenet(self.blocks, path)
            return
        lwanet: Any = networks.create('lwanet', **networks.options_of('lwanet', tensors))
        networks.load_checkpoint(lwanet, path)
        self.blocks.load_state_dict(
            nn.Sequential(*list(lwanet.encoder_blocks().values())[:_BLOCKS]).state_dict()
        )
        sam, own = networks.spec('surgicalsam'), networks.spec('lwanet')
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(3, 1, 1) for values in (sam.mean, sam.std, own.mean, own.std)
        )
        self.scale.copy_(std / own_std)
        self.shift.copy_((mean - own_mean) / own_std)


class LayerNorm2d(nn.Module):
    """Normalise each pixel over its channels, then scale and shift each channel, as SAM does."""

    def __init__(self, channels: int, size: float = 1.0) -> None:
        """size: standard deviation of the output at first."""
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), size))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same."""
        centred = x - x.mean(1, keepdim=True)
        x = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return self.weight[:, None, None] * x + self.bias[:, None, None]
