"""LWANet: semantic segmentation of surgical instruments in real time.

Ni, Bian, Hou, Zhou, Li, Zhou, "Attention-Guided Lightweight Network for Real-Time Segmentation of
Robotic Surgical Instruments", ICRA 2020, arXiv:1910.11109. The keys are those of the published
checkpoints, and so is the arithmetic: the scores end in a ReLU, as every depthwise-separable
convolution of the decoder does. The code is written from the paper.
"""

from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from surgseg_ros.networks.mobilenet_v2 import load_imagenet, mobilenet_v2_features

_NUM_CLASSES = 8


class Lwanet(nn.Module):
    """The whole network; see forward.

    num_classes: with the background. The default is EndoVis 2017's, 7 types of instrument, whose
    ids the simulator uses too; Cata7 has 11. attention_fusion: False is "LWANet without AFB" of
    Table I, which adds the two feature maps instead.
    """

    def __init__(self, num_classes: int = _NUM_CLASSES, attention_fusion: bool = True) -> None:
        super().__init__()
        f = mobilenet_v2_features()
        self.layer1 = f[0]
        self.layer2 = f[1]
        self.layer3 = nn.Sequential(*f[2:4])
        self.layer4 = nn.Sequential(*f[4:7])
        self.layer5 = nn.Sequential(*f[7:11])
        self.layer6 = nn.Sequential(*f[11:14])
        self.layer7 = nn.Sequential(*f[14:17])
        self.layer8 = nn.Sequential(*f[17:18])
        self.up3 = _double(320, 96)
        self.up2 = _double(96, 32)
        self.up1 = _double(32, 24)
        if attention_fusion:
            self.afb3 = AttentionFusion(96)
            self.afb2 = AttentionFusion(32)
            self.afb1 = AttentionFusion(24)
        self._attention_fusion = attention_fusion
        self.final = nn.Sequential(
            _depthwise_separable(24, 24), _depthwise_separable(24, num_classes)
        )

    @staticmethod
    def options_of(tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """See networks.options_of; those that differ from the defaults."""
        options: dict[str, object] = {}
        scores = tensors.get('final.1.4.weight')
        if scores is not None and scores.numel() != _NUM_CLASSES:
            options['num_classes'] = scores.numel()
        if not any(key.startswith('afb') for key in tensors):
            options['attention_fusion'] = False
        return options

    def forward(self, image: Tensor) -> Tensor:
        """Normalised N x 3 x H x W, multiples of 32 -> log-probabilities N x C x H/4 x W/4.

        In training N is more than 1: the attention is normalised over the batch.
        """
        return F.log_softmax(self.logits(image), dim=1)

    def infer(self, image: Tensor) -> tuple[Tensor]:
        """What a predictor needs: the logits."""
        return (self.logits(image),)

    def logits(self, image: Tensor) -> Tensor:
        """Scores before the softmax, as forward; at least 0."""
        quarter = self.layer3(self.layer2(self.layer1(image)))
        eighth = self.layer4(quarter)
        sixteenth = self.layer6(self.layer5(eighth))
        x = self.layer8(self.layer7(sixteenth))
        x = self._fuse('afb3', self.up3(x), sixteenth)
        x = self._fuse('afb2', self.up2(x), eighth)
        x = self._fuse('afb1', self.up1(x), quarter)
        logits: Tensor = self.final(x)
        return logits

    def load_imagenet(self, path: str | Path) -> None:
        """Load torchvision's checkpoint into the encoder; see mobilenet_v2.load_imagenet."""
        load_imagenet(self.encoder_blocks().values(), path)

    def encoder_blocks(self) -> dict[int, nn.Module]:
        """Blocks of the encoder by their numbers in mobilenet_v2_features()."""
        stages = self.layer3, self.layer4, self.layer5, self.layer6, self.layer7, self.layer8
        blocks = self.layer1, self.layer2, *(block for stage in stages for block in stage)
        return dict(enumerate(blocks))

    def _fuse(self, name: str, high: Tensor, low: Tensor) -> Tensor:
        return self.get_submodule(name)(high, low) if self._attention_fusion else high + low


class AttentionFusion(nn.Module):
    """Weigh the channels of two feature maps by their own global means, and add (equation 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv1 = _attention(channels)
        self.conv2 = _attention(channels)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Decoder's and encoder's features, N x C x H x W each -> N x C x H x W."""
        fused: Tensor = high * self.conv1(self.pool(high)) + low * self.conv2(self.pool(low))
        return fused


def _attention(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1),
        nn.BatchNorm2d(channels),
        nn.Sigmoid(),
    )


def _double(before: int, after: int) -> nn.Sequential:
    """Twice the resolution."""
    return nn.Sequential(
        _depthwise_separable(before, after),
        nn.ConvTranspose2d(after, after, 4, stride=2, padding=1),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _depthwise_separable(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
        nn.BatchNorm2d(before),
        nn.ReLU(inplace=True),
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
