"""FASSST: instances from one regressed box per grid cell and a mask per box.

Cheng et al., FASSST: Fast Attention Based Single-Stage Segmentation Net for Real-Time Instance
Segmentation, WACV 2022. There is no public code. A frame passes the network head (E, half
size); E feeds the instance attention module (boxes and scores on a grid of n cells) and the rest
of the backbone, whose maps become the pyramid mask layers; features of each box (ROI) are sampled
from these, fused, and turned into a mask by the tail.

Outputs of forward, for n = num_boxes cells in rows from the top left
- boxes N x n x 4: x0, y0, x1, y1 as fractions of the frame, of the best class of each cell.
- scores N x n x num_classes: probabilities; column k is class id k + 1 (0 is background, which
  has no channel). A cell without an instance has low scores everywhere.
- masks N x n x 28 x 28: logits over the box, of the best class of each cell.

Default sizes: fassst_416 with 80 classes has 36.3 MB (10^6 bytes, float32 parameters) and 71.6
GFLOPs (2 per multiply-accumulate of convolutions, 36 ROIs) as in Table 2; both totals together do
not determine the network. fassst_768 with the 8 classes and 49 boxes of Cityscapes has 34.0 MB
and 111.5 GFLOPs where the paper has 41.3 MB and 112.8: that fewer classes need more storage is
unexplained. What the paper leaves open, what is chosen here, and why
- Score channels. The drawn output of the attention module, 36 x 4 x 80 (Fig. 4), is the
  coordinates of every class and has no room for the 'confidence scores' that section 3.2 puts
  there: a fifth channel per class is added, 36 x 5 x 80. Sigmoids, not a softmax, because the
  classification loss is a focal loss and needs no background class.
- Coordinates are sigmoids around the cell's own square, one for each class as drawn: raw outputs
  of 0 are that square. So a cell needs not learn where it is, and no box leaves the frame.
- Strides and grid. Fig. 4 is drawn for 768; 416 reaches 6 x 6 in one halving less, through an odd
  size. Here the first convolutions halve while the map stays at least as large as the grid, and
  one bilinear resize makes it the grid: every n and size works, and neither changes a weight, so
  a checkpoint fits all of them.
- Network head. 3x3 convolutions, the first of stride 2, the last of 64 channels (Fig. 4), as many
  as head_depth. Widths 16, 24, 32, ..., 64 were fitted.
- Attention module. Widths 128 and 256 are drawn, the others were fitted: 96, 128, 128, 128, 128,
  128, then 5 x classes.
- 'MobileNet-54-V2' is taken to be MobileNetV2, its stem replaced by the network head. With
  resnet50_fpn the head replaces ResNet's stem, too, which also ends in 64 channels at half size.
- Pyramid mask layers: maps at 1/8, 1/16 and 1/32 by 1x1 and 3x3 convolutions to 256 channels;
  for resnet50_fpn, P3 to P5 of its FPN.
- ROI sampling: one bilinear sample at the centre of each of 28 x 28, 14 x 14 and 7 x 7 bins:
  'R2 is double R3, R1 double R2' (section 3.3), and a single GridSample per layer, which ONNX,
  OpenVINO and ONNX Runtime have. Fused maps are 28 x 28, the most common mask size.
- Tail (Fig. 6): 3x3 of stride 2, three 3x3, deconvolution 4x4, 3x3 to one mask per class.
- Batch normalisation and ReLU after every convolution except the last of each part and those of
the
  pyramid.
- Without roi_fusion the tail takes R1 alone (section 4.3.4); what only fed R2 and R3 is left out.

The frame is resized to size x size, its aspect ratio not kept: 'frame scale 416 x 416'.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surgseg_ros.networks.fpn import FeaturePyramid
from surgseg_ros.networks.mobilenet_v2 import InvertedResidual, mobilenet_v2_features
from surgseg_ros.networks.resnet import ResNet

BACKBONES = ('mobilenet_v2', 'resnet50_fpn')
HEAD_DEPTHS = (4, 5, 6)
_HEAD_CHANNELS = 64
ROI_SIZE = 28
_PRIOR_SCORE = 0.01  # of every class before training (Lin et al., focal loss, section 4.1)
_EDGE = 0.02  # keeps the squares of border cells where a sigmoid has a slope


class Fassst(nn.Module):
    """The whole network; see the file's docstring for what goes in and out.

    size: height and width of the input, px, a multiple of 32. backbone: one of BACKBONES.
    num_boxes: n, the square of the grid's side. num_classes: without background. roi_fusion: as
    in Table 9. head_depth: one of HEAD_DEPTHS (Table 5). width: channels of pyramid and tail,
    and of the attention module's widest convolution, whose other widths follow.
    """

    def __init__(
        self,
        size: int,
        backbone: str = 'mobilenet_v2',
        num_boxes: int = 36,
        num_classes: int = 80,
        roi_fusion: bool = True,
        head_depth: int = 5,
        width: int = 256,
    ) -> None:
        super().__init__()
        _check(size, backbone, num_boxes, head_depth)
        self.size, self.num_classes = size, num_classes
        self.head = _network_head(head_depth)
        levels = 3 if roi_fusion else 1
        body = MobileNetPyramid if backbone == 'mobilenet_v2' else ResNetPyramid
        self.pyramid = body(levels, width)
        self.attention = InstanceAttention(size // 2, math.isqrt(num_boxes), num_classes, width)
        self.tail = MaskTail(num_classes, width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """N x 3 x size x size, normalised -> boxes, scores, masks (see the file's docstring)."""
        boxes, logits, best, rois = self._best(image)
        masks = self.tail(rois).unflatten(0, best.shape)
        return boxes, logits.sigmoid(), of_class(masks, best)

    def infer(self, image: Tensor) -> tuple[Tensor, ...]:
        """The same; masks of other classes than the best are not computed."""
        boxes, logits, best, rois = self._best(image)
        masks = self.tail(rois, best.flatten()).unflatten(0, best.shape)
        return boxes, logits.sigmoid(), masks

    def _best(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes and logits of scores, the best class of each cell, features of its box."""
        coordinates, logits, layers = self.locate(image)
        best = logits.argmax(2)
        boxes = of_class(coordinates, best).sigmoid()
        return boxes, logits, best, self.rois(layers, boxes)

    def encoder_blocks(self) -> dict[int, nn.Module]:
        """Blocks by their numbers in mobilenet_v2_features(): the head replaces the first two."""
        if not isinstance(self.pyramid, MobileNetPyramid):
            return {}
        blocks = [block for stage in self.pyramid.stages for block in stage.children()]
        return dict(enumerate(blocks[1:], 2))

    @staticmethod
    def options_of(tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """Options that keys and shapes in a checkpoint tell; size and num_boxes are in none."""
        predicted = tensors.get('attention.predict.bias')
        if predicted is None:
            return {}
        resnet = 'pyramid.fpn.lateral_convs.0.conv.weight' in tensors
        return {
            'backbone': 'resnet50_fpn' if resnet else 'mobilenet_v2',
            'num_classes': len(predicted) // 5,
            'roi_fusion': any(key.startswith('pyramid.stages.2.') for key in tensors),
            'head_depth': len({key.split('.')[1] for key in tensors if key.startswith('head.')}),
        }

    def locate(self, image: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Find instances: coordinates and scores as InstanceAttention gives them, mask layers."""
        features = self.head(image)
        return *self.attention(features), self.pyramid(features)

    def rois(self, layers: tuple[Tensor, ...], boxes: Tensor) -> Tensor:
        """Boxes N x m x 4 (fractions) -> fused features N m x width x 28 x 28, frame by frame."""
        return fuse(
            [sample_rois(layer, boxes, ROI_SIZE >> level) for level, layer in enumerate(layers)]
        )


class InstanceAttention(nn.Module):
    """Nine convolutions from the raw features to coordinates and scores (section 3.2)."""

    def __init__(self, size: int, grid: int, num_classes: int, width: int) -> None:
        super().__init__()
        half = width // 2
        widths = (_HEAD_CHANNELS, half, width, 3 * width // 8, *(half,) * 5)
        self._strided = _halvings(size, grid)
        self.convs = nn.Sequential(
            *(
                _conv(before, after, stride=2 if index < self._strided else 1)
                for index, (before, after) in enumerate(pairwise(widths))
            )
        )
        self.predict = nn.Conv2d(half, 5 * num_classes, 3, padding=1)
        nn.init.normal_(self.predict.weight, std=0.01)
        prior = torch.zeros(5 * num_classes)
        prior[4 * num_classes :] = math.log(_PRIOR_SCORE / (1 - _PRIOR_SCORE))
        self.predict.bias = nn.Parameter(prior)
        self.grid, self.num_classes = grid, num_classes
        squares = cell_squares(grid).clamp(_EDGE, 1 - _EDGE)
        self.register_buffer('squares', torch.logit(squares)[:, None], persistent=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """N x 64 x H x W -> logits: coordinates N x n x classes x 4, scores N x n x classes."""
        x = F.interpolate(
            self.convs[: self._strided](features),
            (self.grid, self.grid),
            mode='bilinear',
            align_corners=False,
        )
        x = self.predict(self.convs[self._strided :](x)).flatten(2).transpose(1, 2)
        coordinates, scores = x.split((4 * self.num_classes, self.num_classes), dim=2)
        return coordinates.unflatten(2, (-1, 4)) + self.squares, scores


class MobileNetPyramid(nn.Module):
    """MobileNetV2 from the network head on, and the pyramid mask layers on its maps."""

    _LAST = (6, 13, 17)  # blocks at 1/8, 1/16 and 1/32
    _CHANNELS = (32, 96, 320)

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        blocks = mobilenet_v2_features()
        blocks[1] = InvertedResidual(_HEAD_CHANNELS, 16, stride=1, expansion=1)
        ends = (0, *self._LAST[:levels])
        self.stages = nn.ModuleList(
            nn.Sequential(*blocks[first + 1 : last + 1]) for first, last in pairwise(ends)
        )
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1), nn.Conv2d(width, width, 3, padding=1))
            for channels in self._CHANNELS[:levels]
        )

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """N x 64 x H/2 x W/2 -> mask layers at 1/8 (1/16, 1/32) of the frame."""
        layers = []
        for stage, layer in zip(self.stages, self.layers, strict=True):
            features = stage(features)
            layers.append(layer(features))
        return tuple(layers)


class ResNetPyramid(nn.Module):
    """ResNet-50 from the network head on, and P3 to P5 of its feature pyramid."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        resnet = ResNet(50)
        self.maxpool = resnet.maxpool
        stages = (resnet.get_submodule(f'layer{level}') for level in range(1, levels + 2))
        self.stages = nn.ModuleList(stages)
        self.fpn = FeaturePyramid(resnet.channels[1 : levels + 1], width)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """N x 64 x H/2 x W/2 -> mask layers at 1/8 (1/16, 1/32) of the frame."""
        x, maps = self.maxpool(features), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        pyramid: tuple[Tensor, ...] = self.fpn(tuple(maps[1:]))
        return pyramid[: len(maps) - 1]


class MaskTail(nn.Module):
    """Five convolutions and a deconvolution: a mask per class (section 3.4)."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            _conv(width, width, stride=2), *(_conv(width, width) for _ in range(3))
        )
        self.deconv = nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.masks = nn.Conv2d(width, num_classes, 3, padding=1)
        self.shifts: Tensor
        self.register_buffer('shifts', torch.eye(9).view(1, 9, 3, 3), persistent=False)

    def forward(self, rois: Tensor, classes: Tensor | None = None) -> Tensor:
        """M x width x 28 x 28 -> M x classes x 28 x 28 logits.

        classes: M int64; then M x 28 x 28, of the given class of each alone.
        """
        features = self.deconv(self.convs(rois))
        if classes is None:
            masks: Tensor = self.masks(features)
            return masks
        # a product per place of the 3x3 kernel, each with all pixels, then moved there and added
        kernels = self.masks.weight[classes].flatten(2).transpose(1, 2)
        products = (kernels @ features.flatten(2)).unflatten(2, features.shape[2:])
        bias = self.masks.get_parameter('bias')[classes, None, None]
        return F.conv2d(products, self.shifts, padding=1)[:, 0] + bias


def of_class(values: Tensor, classes: Tensor) -> Tensor:
    """Pick one class per cell: values N x n x classes x ..., classes N x n -> N x n x ..."""
    inner = values.shape[3:]
    index = classes.reshape(*classes.shape, 1, *(1 for _ in inner))
    return values.gather(2, index.expand(*classes.shape, 1, *inner)).squeeze(2)


def fuse(rois: list[Tensor]) -> Tensor:
    """R = ReLU(R1 + up(R2 + up(R3))), each twice as large as the next; R1 alone as it is."""
    fused = rois[-1]
    for finer in reversed(rois[:-1]):
        fused = finer + F.interpolate(
            fused, scale_factor=2.0, mode='bilinear', align_corners=False
        )
    return F.relu(fused) if len(rois) > 1 else fused


def sample_rois(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Sample the centres of size x size bins of each box, bilinearly, edges repeated.

    features: N x C x H x W. boxes: N x m x 4, x0 y0 x1 y1 as fractions of the map. Returns
    N m x C x size x size, frame by frame.
    """
    count, channels = boxes.shape[1], features.shape[1]
    sampled = F.grid_sample(
        features,
        bin_centres(boxes, size).flatten(1, 2),
        padding_mode='border',
        align_corners=False,
    )
    sampled = sampled.reshape(-1, channels, count, size, size)
    return sampled.transpose(1, 2).reshape(-1, channels, size, size)


def bin_centres(boxes: Tensor, size: int) -> Tensor:
    """N x m x 4 boxes (fractions) -> N x m x size x size x 2, x y as grid_sample counts, -1..1."""
    centres = (torch.arange(size, device=boxes.device, dtype=boxes.dtype) + 0.5) / size
    x0, y0, x1, y1 = (2 * boxes[..., None, None] - 1).unbind(2)  # N x m x 1 x 1
    x, y = x0 + (x1 - x0) * centres, y0 + (y1 - y0) * centres[:, None]
    shape = (*boxes.shape[:2], size, size)
    return torch.stack((x.expand(shape), y.expand(shape)), dim=-1)


def cell_squares(grid: int) -> Tensor:
    """Boxes of a grid's cells in rows: grid^2 x 4, x0 y0 x1 y1 as fractions of the frame."""
    start = torch.arange(grid, dtype=torch.float32) / grid
    y, x = torch.meshgrid(start, start, indexing='ij')
    return torch.stack((x, y, x + 1 / grid, y + 1 / grid), dim=-1).flatten(0, 1)


def _network_head(depth: int) -> nn.Sequential:
    widths = (3, 16, 24, *(32,) * (depth - 3), _HEAD_CHANNELS)
    return nn.Sequential(
        *(
            _conv(before, after, stride=2 if index == 0 else 1)
            for index, (before, after) in enumerate(pairwise(widths))
        )
    )


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _halvings(size: int, grid: int) -> int:
    """How often a map of this size can be halved, rounding up, and not become less than grid."""
    count = 0
    while size > 1 and (size + 1) // 2 >= grid:
        size, count = (size + 1) // 2, count + 1
    return count


def _check(size: int, backbone: str, num_boxes: int, head_depth: int) -> None:
    if size < 64 or size % 32:
        raise ValueError(f'size is {size}, expected a multiple of 32 from 64 on')
    if backbone not in BACKBONES:
        raise ValueError(f'fassst has no backbone {backbone!r}; its own: {", ".join(BACKBONES)}')
    if num_boxes < 1 or math.isqrt(num_boxes) ** 2 != num_boxes:
        raise ValueError(f'num_boxes is {num_boxes}, expected a square such as 16, 36 or 81')
    if head_depth not in HEAD_DEPTHS:
        raise ValueError(
            f'head_depth is {head_depth}, expected one of {", ".join(map(str, HEAD_DEPTHS))}'
        )
