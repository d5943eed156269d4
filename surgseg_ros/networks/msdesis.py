"""MSDESIS: disparity and tool segmentation from one shared encoder.

Psychogyios, Mazomenos, Vasconcelos, Stoyanov, IEEE TMI 2022, doi:10.1109/TMI.2022.3181229,
https://github.com/dimitrisPs/msdesis. The keys are those of the published checkpoints, and so is
the arithmetic, oddities included: weights trained with an oddity mean nothing without it.
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surgseg_ros.networks.resnet import basic_stage

MODES = ('multitask', 'disparity', 'segmentation', 'encoder')
_SLOPE = 0.1  # of every LeakyReLU


class Msdesis(nn.Module):
    """The whole network; see forward.

    encoder: 'light' or 'resnet34'. max_disparity: px, sets the search range at 1/32 resolution.
    n_classes: channels of the logits. mode: 'multitask'; 'disparity' or 'segmentation' skip the
    other head; 'encoder' skips both. All parts exist in every mode, so the keys never change.
    """

    def __init__(
        self, encoder: str, max_disparity: int = 320, n_classes: int = 1, mode: str = 'multitask'
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f'msdesis has no mode {mode!r}; its modes: {", ".join(MODES)}')
        self.mode = mode
        channels = _ENCODERS[encoder].channels
        self.feature_extractor = _ENCODERS[encoder]()
        self.disparity_head = DisparityHead(channels, max_disparity)
        self.segmentation_head = SegmentationHead(channels, n_classes)

    def forward(
        self, left: Tensor, right: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...] | None, Tensor | tuple[Tensor, ...] | None]:
        """Normalised rectified images N x 3 x H x W, H and W multiples of 32.

        Returns (disparities, logits), None for a head that the mode skips. disparities: d0..d5,
        each N x 1 x H/2^i x W/2^i, in px of its own resolution, raw: they may be negative.
        logits: N x n_classes x H x W, of the left image, which is all 'segmentation' needs.
        Mode 'encoder' returns the five feature maps of the left image twice, as published.
        """
        left_features = self.feature_extractor(left)
        if self.mode == 'encoder':
            return left_features, left_features
        disparities = logits = None
        if self.mode != 'segmentation':
            # one view after the other: batch statistics are per view in training
            right_features = self.feature_extractor(right)
            disparities = self.disparity_head(left_features, right_features, right)
        if self.mode != 'disparity':
            logits = self.segmentation_head(left_features)
        return disparities, logits

    def infer(self, left: Tensor, right: Tensor | None = None) -> tuple[Tensor, ...]:
        """What a predictor needs of forward: d0 and the logits, whichever the mode has."""
        disparities, logits = self(left, right)
        return tuple(x for x in (disparities and disparities[0], logits) if x is not None)


class LightEncoder(nn.Module):
    """Five levels of two 3x3 convolutions, the first of stride 2."""

    channels = (16, 32, 64, 96, 128)

    def __init__(self) -> None:
        super().__init__()
        for level, (before, after) in enumerate(pairwise((3, *self.channels))):
            self.add_module(f'encoder_{level}', _LightLevel(before, after))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """N x 3 x H x W -> five feature maps, at 1/2, 1/4, 1/8, 1/16 and 1/32."""
        features = []
        for level in range(len(self.channels)):
            image = self.get_submodule(f'encoder_{level}')(image)
            features.append(image)
        return tuple(features)


class _LightLevel(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*_conv(before, after, stride=2), *_conv(after, after))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.encoder(x)
        return features


class ResNet34Encoder(nn.Module):
    """The stages of ResNet-34; the first level is taken before the max pooling."""

    channels = (64, 64, 128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        self.layer_0 = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
        )
        self.max_pool_0 = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer_1 = basic_stage(64, 64, blocks=3, stride=1)
        self.layer_2 = basic_stage(64, 128, blocks=4, stride=2)
        self.layer_3 = basic_stage(128, 256, blocks=6, stride=2)
        self.layer_4 = basic_stage(256, 512, blocks=3, stride=2)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """N x 3 x H x W -> five feature maps, at 1/2, 1/4, 1/8, 1/16 and 1/32."""
        half = self.layer_0(image)
        quarter = self.layer_1(self.max_pool_0(half))
        eighth = self.layer_2(quarter)
        sixteenth = self.layer_3(eighth)
        return half, quarter, eighth, sixteenth, self.layer_4(sixteenth)


_ENCODERS: dict[str, type[LightEncoder | ResNet34Encoder]] = {
    'light': LightEncoder,
    'resnet34': ResNet34Encoder,
}


class DisparityHead(nn.Module):
    """Coarse to fine: search at 1/32, then correct by at most 2 px per level."""

    def __init__(self, channels: tuple[int, ...], max_disparity: int) -> None:
        super().__init__()
        for level, features in enumerate(channels, start=1):
            coarsest = level == len(channels)
            shifts = range(max_disparity // 32 + 1) if coarsest else range(-2, 3)
            self.add_module(f'disp_decoder_{level}', DisparityDecoder(features, shifts))
            self.add_module(f'upsample{level}', Upsample())
        self.refine = Refinement()

    def forward(
        self, left: tuple[Tensor, ...], right: tuple[Tensor, ...], right_image: Tensor
    ) -> tuple[Tensor, ...]:
        """Features at 1/2..1/32 of both views and the normalised right image -> d0..d5."""
        disparities = [self.get_submodule('disp_decoder_5')(left[4], right[4])]
        for level in (4, 3, 2, 1):
            guess = self.get_submodule(f'upsample{level + 1}')(disparities[-1])
            warped = warp(right[level - 1], guess)
            decoder = self.get_submodule(f'disp_decoder_{level}')
            disparities.append(decoder(left[level - 1], warped) + guess)
        guess = self.get_submodule('upsample1')(disparities[-1])
        # the right image, not the left one that the disparity belongs to: as published
        disparities.append(self.refine(torch.cat((guess, right_image), dim=1)) + guess)
        return tuple(reversed(disparities))


class DisparityDecoder(nn.Module):
    """Correlate two feature maps over `shifts` and regress a disparity."""

    def __init__(self, features: int, shifts: range) -> None:
        super().__init__()
        self.shifts = shifts
        widths = (len(shifts) + features, 128, 128, 96, 64, 32)
        self.estimation = nn.Sequential(
            *(ConvBnLeaky(before, after) for before, after in pairwise(widths)),
            nn.Conv2d(widths[-1], 1, 3, padding=1),
        )

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two N x C x H x W feature maps -> N x 1 x H x W px."""
        disparity: Tensor = self.estimation(
            torch.cat((correlate(left, right, self.shifts), left), dim=1)
        )
        return disparity


def correlate(left: Tensor, right: Tensor, shifts: Iterable[int]) -> Tensor:
    """Mean over channels of left(x) * right(x - shift), 0 where x - shift is outside.

    left, right: N x C x H x W. Returns N x len(shifts) x H x W. Padding once and multiplying
    slices is several times faster than a gather or a matrix product for so few shifts.
    """
    shifts, width = list(shifts), left.shape[-1]
    before, after = max(max(shifts), 0), max(-min(shifts), 0)
    padded = F.pad(right, (before, after))
    products = (left * padded[..., before - i : before - i + width] for i in shifts)
    return torch.cat([product.mean(dim=1, keepdim=True) for product in products], dim=1)


def warp(right: Tensor, disparity: Tensor) -> Tensor:
    """Sample the right features N x C x H x W where the disparity N x 1 x H x W px points.

    The grid is normalised for align_corners=True and sampled with False, so that in truth
    (x - d) * W / (W - 1) - 0.5 is read, and zeros near the border: the published weights were
    trained with it.
    """
    height, width = right.shape[-2:]
    x = torch.arange(width, device=right.device, dtype=torch.float32)
    y = torch.arange(height, device=right.device, dtype=torch.float32).unsqueeze(1)
    grid_x = 2 * (x - disparity[:, 0]) / max(width - 1, 1) - 1
    grid_y = (2 * y / max(height - 1, 1) - 1).expand_as(grid_x)
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return F.grid_sample(right, grid, 'bilinear', 'zeros', align_corners=False)


class Upsample(nn.Module):
    """Twice the resolution; that disparities double with it, the convolution has to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, disparity: Tensor) -> Tensor:
        """N x 1 x H x W -> N x 1 x 2H x 2W."""
        refined: Tensor = self.conv(
            F.interpolate(disparity, scale_factor=2, mode='bilinear', align_corners=False)
        )
        return refined


class Refinement(nn.Module):
    """Hourglass over disparity and image at full resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBnLeaky(4, 8, stride=2)
        self.conv2 = ConvBnLeaky(8, 8)
        self.conv3 = ConvBnLeaky(8, 8, stride=2)
        self.conv4 = ConvBnLeaky(8, 8)
        self.conv5 = nn.Sequential(_double(8, 8, bias=False), nn.BatchNorm2d(8))
        self.conv6 = nn.Sequential(
            _double(8, 4, bias=False),
            nn.BatchNorm2d(4),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(4, 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N x 4 x H x W -> correction N x 1 x H x W px."""
        half = self.conv2(self.conv1(x))
        quarter = self.conv4(self.conv3(half))
        features: Tensor = self.conv6(F.leaky_relu(self.conv5(quarter) + half, _SLOPE))
        return features


class SegmentationHead(nn.Module):
    """U-Net decoder over the left features."""

    def __init__(self, channels: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        for step in range(1, 5):
            self.add_module(f'decode_{step}', UNetStep(channels[-step], channels[-step - 1]))
        self.upsample = _double(channels[0], channels[0])
        self.out_conv = nn.Conv2d(channels[0], n_classes, 1)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Five feature maps at 1/2..1/32 -> logits at full resolution."""
        x = features[-1]
        for step in range(1, 5):
            x = self.get_submodule(f'decode_{step}')(x, features[-step - 1])
        logits: Tensor = self.out_conv(self.upsample(x))
        return logits


class UNetStep(nn.Module):
    """Double the resolution and merge with the encoder's features there."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.up_conv = _double(before, after)
        self.d_conv = _DoubleConv(2 * after, after)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """N x before x H x W and N x after x 2H x 2W -> N x after x 2H x 2W."""
        features: Tensor = self.d_conv(torch.cat((skip, self.up_conv(x)), dim=1))
        return features


class _DoubleConv(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(*_conv(before, after), *_conv(after, after))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layer(x)
        return features


class ConvBnLeaky(nn.Module):
    """3x3 convolution, batch normalisation, LeakyReLU."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(*_conv(before, after, stride))

    def forward(self, x: Tensor) -> Tensor:
        """N x before x H x W -> N x after x H/stride x W/stride."""
        features: Tensor = self.layer(x)
        return features


def _conv(before: int, after: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(_SLOPE),
    )


def _double(before: int, after: int, bias: bool = True) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)
