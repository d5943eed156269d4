"""SOLO: instances by their location, with or without dot-product attention between places.

Wang, Kong, Shen, Jiang, Li, "SOLO: Segmenting Objects by Locations", ECCV 2020, arXiv:1912.04488.
Every level of a feature pyramid is divided into S x S cells; a cell says of which class the object
is whose centre lies in it, and channel i * S + j of the mask branch is the mask of cell (i, j).
The keys are those of the published checkpoints; the code is written from the paper. The mask
convolution is 1x1, so it commutes with the bilinear upsampling before it and is computed first, at
a quarter of the price, and for chosen cells only where not all are needed.

The attention branch (paper "SOLO with dot-product attention", sections 3.3 and 3.4): the features
of the S x S places have dot products with each other; row (i, j) of that Gram matrix, an S x S map
of what resembles place (i, j), is added to the mask of cell (i, j). What the text leaves open:
- source='pyramid': the features "after the ResNet-FPN", before the mask branch, as section 3.3 has
  it; they are resized to S x S as section 3.2 does for the categories. 'tower' takes those after
  the mask branch, which know their coordinates.
- scale='cosine': of unit vectors, because only then "the result of the dot product at the same
  position is maximized" (3.3), and because the gain then means the same at every level and in
  every training. 'sqrt' divides by the root of their length, as Transformers do; 'none' is the
  bare product.
- resize='bilinear' to the size of the mask branch, as SOLO resizes everything else, where its
  logits are still h x w and are doubled together with them; 'nearest' keeps the places' edges.
- a gain per level, 0 at first: a plain checkpoint loads and gives the very same output.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surgseg_ros.networks.fpn import FeaturePyramid
from surgseg_ros.networks.mobilenet_v2 import load_imagenet, mobilenet_v2_features
from surgseg_ros.networks.resnet import ResNet
from surgseg_ros.networks.solo_decode import GRIDS, Instances, cells_per_level, decode

SOURCES = ('pyramid', 'tower')
SCALES = ('cosine', 'sqrt', 'none')
RESIZES = ('bilinear', 'nearest')


class Solo(nn.Module):
    """The whole network; see forward.

    backbone: 'resnet50', 'resnet18' or 'mobilenet_v2'. num_classes: of the foreground; 80 is
    COCO. attention: add the branch; attention_source, _scale, _resize: see the head of this file.
    coordinates: False is "SOLO (no coords)" of the paper's Table 3. width: channels of the
    pyramid and of both towers. depth: convolutions per tower. grids: S per level. candidates:
    cells per level for which infer makes masks.
    """

    # missing from a plain SOLO's checkpoint, which loads nevertheless: 0 changes nothing
    optional_keys = frozenset({'bbox_head.attention.gain'})

    def __init__(
        self,
        backbone: str,
        num_classes: int = 80,
        attention: bool = False,
        coordinates: bool = True,
        width: int = 256,
        depth: int = 7,
        grids: tuple[int, ...] = GRIDS,
        candidates: int = 100,
        attention_source: str = 'pyramid',
        attention_scale: str = 'cosine',
        attention_resize: str = 'bilinear',
    ) -> None:
        super().__init__()
        self.backbone = _BACKBONES[backbone]()
        self.neck = FeaturePyramid(self.backbone.channels, width)
        branch = DotProductAttention(
            len(grids), attention_source, attention_scale, attention_resize
        )
        self.bbox_head = SoloHead(
            num_classes, width, depth, grids, coordinates, branch if attention else None
        )
        self.candidates = candidates

    def forward(self, image: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Normalised N x 3 x H x W, multiples of 32 -> (mask probabilities, category scores).

        Five of each: N x S^2 x H/4 x W/4, and N x S x S x C after points NMS.
        """
        levels = self.levels(image)
        size = _quarter(image)
        masks = (self.bbox_head.mask_logits(k, level) for k, level in enumerate(levels))
        return (
            tuple(_resize(logits.sigmoid(), size) for logits in masks),
            tuple(category_scores(level.categories) for level in levels),
        )

    def infer(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Like forward, for the `candidates` cells of every level with the highest scores.

        Returns mask probabilities N x K x H/4 x W/4 and category scores N x K x C, of
        solo_decode.cells_per_level cells, one level after the other.
        """
        masks, scores = [], []
        counts = cells_per_level(self.candidates, self.bbox_head.grids)
        levels = self.bbox_head(self.neck(self.backbone(image), halve_finest=True))
        for k, (level, count) in enumerate(zip(levels, counts, strict=True)):
            every = category_scores(level.categories).flatten(1, 2)
            # in the order of the grid: equal scores have no order that all backends agree on
            cells = every.amax(dim=2).topk(count).indices.sort().values
            scores.append(every.gather(1, cells[..., None].expand(-1, -1, every.shape[2])))
            logits = self.bbox_head.mask_logits(k, level, cells)
            masks.append(_resize(logits.sigmoid(), _quarter(image)))
        return torch.cat(masks, 1), torch.cat(scores, 1)

    def logits(self, image: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """All masks N x S^2 x 2h x 2w, twice the size of a level, and categories N x C x S x S.

        A loss that needs the masks of few cells takes `levels` and `bbox_head.mask_logits`.
        """
        levels = self.levels(image)
        masks = (self.bbox_head.mask_logits(k, level) for k, level in enumerate(levels))
        return tuple(masks), tuple(level.categories for level in levels)

    def levels(self, image: Tensor) -> list['Level']:
        """Everything but the masks."""
        levels: list[Level] = self.bbox_head(self.neck(self.backbone(image)))
        return levels

    def load_imagenet(self, path: str | Path) -> None:
        """Load torchvision's checkpoint into the backbone; raises as networks.load_checkpoint."""
        self.backbone.load_imagenet(path)

    def encoder_blocks(self) -> dict[int, nn.Module]:
        """Blocks of the backbone by their numbers in mobilenet_v2_features(); none of a ResNet."""
        if not isinstance(self.backbone, MobileNet):
            return {}
        return dict(enumerate(self.backbone.features.children()))

    @staticmethod
    def options_of(tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """Options that the shapes in a checkpoint tell."""
        first = tensors.get('bbox_head.ins_convs.0.conv.weight')
        categories = tensors.get('bbox_head.solo_cate.bias')
        if first is None or categories is None:
            return {}
        return {
            'num_classes': len(categories),
            'coordinates': first.shape[1] > first.shape[0],
            'attention': 'bbox_head.attention.gain' in tensors,
        }

    @staticmethod
    def decode(
        masks: Iterable[Tensor], scores: Iterable[Tensor], index: int = 0, **options: Any
    ) -> Instances:
        """From forward's result to labels (from 0), scores, masks of the image `index`.

        options: content, size and thresholds of solo_decode.decode.
        """
        planes = [level[index].detach().cpu().numpy() for level in masks]
        grids = [level[index].flatten(0, 1).detach().cpu().numpy() for level in scores]
        counts = [len(plane) for plane in planes]
        return decode(np.concatenate(planes), np.concatenate(grids), counts, **options)


class Level(NamedTuple):
    """One level of the head. categories: logits N x C x S x S. tower: mask features N x c x h x w.

    places: N x c x S x S, that the attention compares (None without attention).
    """

    categories: Tensor
    tower: Tensor
    places: Tensor | None


class SoloHead(nn.Module):
    """Two towers that all levels share, and a mask convolution per level."""

    def __init__(
        self,
        num_classes: int,
        width: int,
        depth: int,
        grids: tuple[int, ...],
        coordinates: bool,
        attention: 'DotProductAttention | None',
    ) -> None:
        super().__init__()
        self.grids, self.coordinates, self.attention = tuple(grids), coordinates, attention
        first = width + 2 if coordinates else width
        self.ins_convs = nn.Sequential(
            *(ConvGnRelu(width if i else first, width) for i in range(depth))
        )
        self.cate_convs = nn.Sequential(*(ConvGnRelu(width, width) for _ in range(depth)))
        self.solo_ins_list = nn.ModuleList(nn.Conv2d(width, s * s, 1) for s in self.grids)
        self.solo_cate = nn.Conv2d(width, num_classes, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
        self.solo_cate.bias = nn.Parameter(torch.full((num_classes,), _PRIOR))

    def forward(self, pyramid: tuple[Tensor, ...]) -> list[Level]:
        """P2..P6, at 1/4 (or 1/8) to 1/64 -> five levels, at 1/8, 1/8, 1/16, 1/32 and 1/32."""
        finest = _resize(pyramid[0], pyramid[1].shape[-2:])
        coarsest = _resize(pyramid[4], pyramid[3].shape[-2:])
        return [
            self._level(features, grid)
            for features, grid in zip((finest, *pyramid[1:4], coarsest), self.grids, strict=True)
        ]

    def _level(self, features: Tensor, grid: int) -> Level:
        places = _resize(features, (grid, grid))
        categories = self.solo_cate(self.cate_convs(places))
        tower = self.ins_convs(_with_coordinates(features) if self.coordinates else features)
        if self.attention is None:
            return Level(categories, tower, None)
        if self.attention.source == 'tower':
            places = _resize(tower, (grid, grid))
        return Level(categories, tower, places)

    def mask_logits(self, k: int, level: Level, cells: Tensor | None = None) -> Tensor:
        """Of level number k, N x S^2 x 2h x 2w, or N x K x 2h x 2w of the cells N x K int64."""
        convolution: Any = self.solo_ins_list[k]
        if cells is None:
            logits = convolution(level.tower)
        else:
            kernels = convolution.weight.flatten(1)[cells]
            logits = kernels @ level.tower.flatten(2) + convolution.bias[cells][..., None]
            logits = logits.unflatten(2, level.tower.shape[-2:])
        if self.attention is not None and level.places is not None:
            logits = logits + self.attention(k, level.places, cells, logits.shape[-2:])
        return F.interpolate(logits, scale_factor=2.0, mode='bilinear')


class DotProductAttention(nn.Module):
    """What resembles a place, as a map (section 3.3, equation 3), times a gain."""

    def __init__(self, levels: int, source: str, scale: str, resize: str) -> None:
        super().__init__()
        _check('attention_source', source, SOURCES)
        _check('attention_scale', scale, SCALES)
        _check('attention_resize', resize, RESIZES)
        self.source, self._scale, self._resize = source, scale, resize
        self.gain = nn.Parameter(torch.zeros(levels))

    def forward(self, k: int, places: Tensor, cells: Tensor | None, size: torch.Size) -> Tensor:
        """N x c x S x S of level k -> N x S^2 x size, or N x K x size of the cells N x K."""
        vectors = places.flatten(2)
        if self._scale == 'cosine':
            vectors = F.normalize(vectors, dim=1)
        elif self._scale == 'sqrt':
            vectors = vectors / vectors.shape[1] ** 0.25  # of both factors
        chosen = vectors
        if cells is not None:
            chosen = vectors.gather(2, cells[:, None].expand(-1, vectors.shape[1], -1))
        gram = (chosen.transpose(1, 2) @ vectors).unflatten(2, places.shape[-2:])
        return self.gain[k] * _resize(gram, size, self._resize)


class ConvGnRelu(nn.Module):
    """3x3 convolution, normalisation of 32 groups of channels, ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.gn = nn.GroupNorm(32, after)

    def forward(self, x: Tensor) -> Tensor:
        """N x before x H x W -> N x after x H x W."""
        return F.relu(self.gn(self.conv(x)))


class MobileNet(nn.Module):
    """MobileNetV2 with torchvision's keys; `channels` are those of its four outputs."""

    channels = (24, 32, 96, 320)
    ends = (4, 7, 14, 18)  # of the stages, as blocks of `features`

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*mobilenet_v2_features())

    def first_stages(self, count: int) -> list[nn.Module]:
        """Parts of the first `count` of four stages."""
        return list(self.features.children())[: (0, *self.ends)[count]]

    def load_imagenet(self, path: str | Path) -> None:
        """Load torchvision's checkpoint; see mobilenet_v2.load_imagenet."""
        load_imagenet(self.features, path)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """N x 3 x H x W -> four feature maps, at 1/4, 1/8, 1/16 and 1/32."""
        features = []
        for start, stop in pairwise((0, *self.ends)):
            image = self.features[start:stop](image)
            features.append(image)
        return tuple(features)


_BACKBONES: dict[str, Callable[[], ResNet | MobileNet]] = {
    'resnet50': lambda: ResNet(50),
    'resnet18': lambda: ResNet(18),
    'mobilenet_v2': MobileNet,
}
_PRIOR = -4.59512  # logit of 0.01: nearly every cell is empty (RetinaNet, section 3.3)


def category_scores(categories: Tensor) -> Tensor:
    """Logits N x C x S x S -> N x S x S x C; 0 where a neighbour above or left is higher.

    This is points NMS: every 2x2 window keeps its maximum.
    """
    scores = categories.sigmoid()
    highest = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return (scores * (highest == scores)).permute(0, 2, 3, 1)


def _with_coordinates(features: Tensor) -> Tensor:
    """Append x and y, each from -1 to 1 over the map."""
    count, _, height, width = features.shape
    x, y = (
        torch.linspace(-1, 1, length, dtype=features.dtype, device=features.device)
        for length in (width, height)
    )
    planes = x.expand(count, 1, height, width), y[:, None].expand(count, 1, height, width)
    return torch.cat((features, *planes), dim=1)


def _quarter(image: Tensor) -> tuple[int, int]:
    return image.shape[-2] // 4, image.shape[-1] // 4


def _resize(x: Tensor, size: tuple[int, ...], mode: str = 'bilinear') -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode=mode)


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f'{what} is {value!r}, expected one of {", ".join(known)}')
