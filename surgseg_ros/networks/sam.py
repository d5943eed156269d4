"""The parts of Segment Anything (SAM), from the package `segment-anything`, without torchvision.

Kirillov et al., ICCV 2023, arXiv:2304.02643, https://github.com/facebookresearch/segment-anything
(Apache-2.0). vit_b, vit_l and vit_h are its encoders. vit_t is ours: the same architecture, small
enough for a CPU; it is trained here, on simulated images, and no weights of Meta's fit it.
"""

import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from surgseg_ros.networks.sam_canvas import CHANNELS, GRID, IMAGE_SIZE, PATCH


class _Encoder(NamedTuple):
    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]


ENCODERS = {
    'vit_t': _Encoder(192, 6, 3, (2, 5)),
    'vit_b': _Encoder(768, 12, 12, (2, 5, 8, 11)),
    'vit_l': _Encoder(1024, 24, 16, (5, 11, 17, 23)),
    'vit_h': _Encoder(1280, 32, 16, (7, 15, 23, 31)),
}


def image_encoder(name: str) -> nn.Module:
    """SAM's ViT, random weights; see encode_image. ValueError for an unknown name."""
    if name not in ENCODERS:
        raise ValueError(f'no encoder is called {name!r}; known: {", ".join(ENCODERS)}')
    size = ENCODERS[name]
    return _modeling().ImageEncoderViT(
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


def prompt_encoder() -> nn.Module:
    """SAM's encoder of points, boxes and masks; only its position encoding serves here."""
    return _modeling().PromptEncoder(
        embed_dim=CHANNELS,
        image_embedding_size=(GRID, GRID),
        input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
        mask_in_chans=16,
    )


def mask_decoder() -> nn.Module:
    """SAM's mask decoder, random weights."""
    modeling = _modeling()
    transformer = modeling.TwoWayTransformer(
        depth=2, embedding_dim=CHANNELS, mlp_dim=2048, num_heads=8)
    return modeling.MaskDecoder(transformer_dim=CHANNELS, transformer=transformer)


def encode_image(encoder: Any, images: Tensor) -> Tensor:
    """Features N x 256 x 64 x 64 of normalised images N x 3 x S x S, S at most 1024.

    At 1024 this is SAM's own forward. A smaller S (a multiple of 16) gives S/16 x S/16 tokens:
    position embeddings are interpolated to them, as ViTDet does, and the features back to 64 x 64
    (SAM's own code interpolates the relative positions). That is sound for a network that is
    trained at that S; for one that is not, it is an approximation.
    """
    if images.shape[-1] == IMAGE_SIZE:
        features: Tensor = encoder(images)
        return features
    tokens = encoder.patch_embed(images)
    positions = encoder.pos_embed.permute(0, 3, 1, 2)
    positions = F.interpolate(positions, tokens.shape[1:3], mode='bilinear')
    tokens = tokens + positions.permute(0, 2, 3, 1)
    for block in encoder.blocks:
        tokens = block(tokens)
    features = encoder.neck(tokens.permute(0, 3, 1, 2))
    return F.interpolate(features, (GRID, GRID), mode='bilinear')


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
