"""The parts of Segment Anything (SAM), from the package `segment-anything`, without torchvision.

Kirillov et al., ICCV 2023, arXiv:2304.02643, https://github.com/facebookresearch/segment-anything
(Apache-2.0). vit_b, vit_l and vit_h are its encoders. mobilenet_v2 is ours, small enough for a
CPU: see networks/sam_mobilenet.py.
"""

import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from surgseg_ros.networks.sam_canvas import CHANNELS, GRID, IMAGE_SIZE, PATCH
from surgseg_ros.networks.sam_mobilenet import MobileNetEncoder


class _Vit(NamedTuple):
    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]


_VITS = {
    'vit_b': _Vit(768, 12, 12, (2, 5, 8, 11)),
    'vit_l': _Vit(1024, 24, 16, (5, 11, 17, 23)),
    'vit_h': _Vit(1280, 32, 16, (7, 15, 23, 31)),
}
ENCODERS = (*_VITS, 'mobilenet_v2')


def image_encoder(name: str) -> nn.Module:
    """SAM's ViT, or ours, random weights; see encode_image. ValueError for an unknown name."""
    if name not in ENCODERS:
        raise ValueError(f'no encoder is called {name!r}; known: {", ".join(ENCODERS)}')
    if name not in _VITS:
        return MobileNetEncoder()
    size = _VITS[name]
    encoder: nn.Module = _modeling().ImageEncoderViT(
        img_size=IMAGE_SIZE,
        patch_size=PATCH,
        embed_dim=size.width,
        depth=size.depth,
        num_heads=size.heads,
        out_chans=CHANNELS,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=size.global_blocks,
    )
    return encoder


def encoder_of(tensors: Mapping[str, Tensor], prefix: str) -> str | None:
    """Name of the encoder that these tensors belong to, whose keys begin so; None if unknown."""
    if f'{prefix}blocks.0.0.weight' in tensors:
        return 'mobilenet_v2'
    positions = tensors.get(f'{prefix}pos_embed')
    widths = {vit.width: name for name, vit in _VITS.items()}
    return None if positions is None else widths.get(positions.shape[-1])


def prompt_encoder(grid: int = GRID) -> nn.Module:
    """SAM's encoder of points, boxes and masks; only its position encoding serves here.

    grid: features per side of the image.
    """
    encoder: nn.Module = _modeling().PromptEncoder(
        embed_dim=CHANNELS,
        image_embedding_size=(grid, grid),
        input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
        mask_in_chans=16,
    )
    return encoder


def mask_decoder() -> nn.Module:
    """SAM's mask decoder, random weights."""
    modeling = _modeling()
    transformer = modeling.TwoWayTransformer(
        depth=2, embedding_dim=CHANNELS, mlp_dim=2048, num_heads=8
    )
    decoder: nn.Module = modeling.MaskDecoder(transformer_dim=CHANNELS, transformer=transformer)
    return decoder


def encode_image(encoder: nn.Module, images: Tensor, grid: int = GRID) -> Tensor:
    """Features N x 256 x grid x grid of normalised images N x 3 x S x S, S at most 1024.

    At 1024 and with grid = 64 this is SAM's own forward. A smaller S (a multiple of 16) gives
    S/16 x S/16 features, interpolated where that is not the grid. That is sound for a network that
    is trained at that S; for one that is not, it is an approximation.
    """
    whole = images.shape[-1] == IMAGE_SIZE or isinstance(encoder, MobileNetEncoder)
    features: Tensor = encoder(images) if whole else _encode_smaller(encoder, images)
    if features.shape[-1] == grid:
        return features
    return F.interpolate(features, (grid, grid), mode='bilinear')


def _encode_smaller(encoder: Any, images: Tensor) -> Tensor:
    """A ViT's features N x 256 x S/16 x S/16.

    Position embeddings are interpolated, as ViTDet does; SAM's own code does so with the relative
    positions.
    """
    tokens = encoder.patch_embed(images)
    positions = encoder.pos_embed.permute(0, 3, 1, 2)
    positions = F.interpolate(positions, tokens.shape[1:3], mode='bilinear')
    tokens = tokens + positions.permute(0, 2, 3, 1)
    for block in encoder.blocks:
        tokens = block(tokens)
    features: Tensor = encoder.neck(tokens.permute(0, 3, 1, 2))
    return features


def _modeling() -> Any:
    """Import segment_anything.modeling, but not segment_anything: that imports torchvision.

    A bare module takes the package's place while its submodule is imported. Whoever imports the
    package later gets the real one, with the same submodule.
    """
    name = 'segment_anything'
    if name in sys.modules:
        return import_module(f'{name}.modeling')
    found = find_spec(name)
    if found is None:
        raise ImportError('SurgicalSAM is made of parts of SAM: pip install segment-anything')
    bare = ModuleType(name)
    bare.__path__ = list(found.submodule_search_locations or ())
    sys.modules[name] = bare
    try:
        return import_module(f'{name}.modeling')
    finally:
        del sys.modules[name]
