"""SurgicalSAM: SAM, prompted by a class of instruments instead of points or boxes.

Yue et al., AAAI 2024, arXiv:2308.08746, https://github.com/wenxi-yue/SurgicalSAM (MIT). Each class
has a prototype, a vector in the space of SAM's features; where the features resemble it, they are
the prompt. The keys are SAM's, and those of the published checkpoints behind the names of their
parts. networks/sam.py has SAM's parts, networks/sam_mobilenet.py our own small encoder.

Trained as published: prototypes, prototype_prompt_encoder (except pn_cls_embeddings, which stay
as SAM has them) and mask_decoder; image_encoder and prompt_encoder are frozen. No published loss
reaches the mask quality (iou_prediction_head): it stays what SAM made of it.
"""

from collections.abc import Callable, Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surgseg_ros.networks import sam
from surgseg_ros.networks.checkpoints import load_tensors, read
from surgseg_ros.networks.sam_canvas import CHANNELS, GRID, mask_matrices

_HIDDEN = 128  # of both prompts' two layers
# whatever the training, SAM's encoders are as they were
FROZEN = ('image_encoder.', 'prompt_encoder.', 'prototype_prompt_encoder.pn_cls_embeddings.')

# the tensor that tells an option, and how its shape does
_OPTIONS: dict[str, tuple[str, Callable[[torch.Size], Any]]] = {
    'num_tokens': ('prototype_prompt_encoder.sparse_fc_2.bias', lambda shape: shape[0]),
    'num_classes': ('prototypes.class_embeddings.weight', lambda shape: shape[0]),
    'grid': ('prototype_prompt_encoder.sparse_fc_1.weight', lambda shape: isqrt(shape[1])),
}


class SurgicalSam(nn.Module):
    """The whole network; see forward.

    encoder: 'vit_h' as published, 'vit_l', 'vit_b', 'mobilenet_v2', or None where features come
    from elsewhere, such as a cache on disk: the image encoder is most of the weights, and frozen.
    Without one, checkpoints load all the same: their image encoder is left out. num_tokens: per
    class, 2 for the weights of EndoVis 2018, 4 for those of EndoVis 2017. grid: features per side
    of the image, 64 as published; all that is 64 or 256 pixels wide below is for that. Half of it
    takes a quarter of the time.
    """

    def __init__(
        self,
        encoder: str | None = None,
        num_tokens: int = 2,
        num_classes: int = 7,
        grid: int = GRID,
    ) -> None:
        super().__init__()
        self.num_classes, self.grid = num_classes, grid
        self.image_encoder = None if encoder is None else sam.image_encoder(encoder)
        self.prompt_encoder: Any = sam.prompt_encoder(grid)
        self.mask_decoder = sam.mask_decoder()
        self.prototype_prompt_encoder = PrototypePromptEncoder(num_tokens, grid)
        self.prototypes = Prototypes(num_classes)
        for name, parameter in self.named_parameters():
            parameter.requires_grad = not name.startswith(FROZEN)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Prefix of what a checkpoint has and this network was told to be without."""
        return ('image_encoder.',) if self.image_encoder is None else ()

    @staticmethod
    def options_of(tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """Options of the network that these tensors belong to, by their shapes."""
        encoder = sam.encoder_of(tensors, 'image_encoder.')
        options: dict[str, object] = {} if encoder is None else {'encoder': encoder}
        for option, (key, value) in _OPTIONS.items():
            if key in tensors:
                options[option] = value(tensors[key].shape)
        return options

    def forward(self, features: Tensor, class_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Mask of one class per prompt.

        features: N x 64 x 64 x 256, of one frame per prompt; or 1 x 64 x 64 x 256, one frame for
        all prompts, whose share of the work is then done once. class_ids: N, from 1 to
        num_classes. Returns logits N x 1 x 256 x 256 and predicted quality N (an IoU, by SAM).
        """
        return self.decode(features, F.one_hot(class_ids - 1, self.num_classes).to(features))

    def decode(self, features: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """As forward, with one-hot prompts N x num_classes instead of class ids."""
        dense, sparse = self.prototype_prompt_encoder(features, self.prototypes(), prompts)
        images = features.permute(0, 3, 1, 2)
        logits, quality = self.mask_decoder(
            # would be repeated N times, also if there are N: they are with the dense prompts
            image_embeddings=torch.zeros_like(images[:1]),
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=images + dense,
            multimask_output=False,
        )
        return logits, quality[:, 0]

    def encode(self, images: Tensor) -> Tensor:
        """Features N x 64 x 64 x 256 of normalised images N x 3 x S x S; S = 1024 as published.

        For a smaller S see sam.encode_image. ValueError where the network has no image encoder.
        """
        if self.image_encoder is None:
            raise ValueError(
                'this surgicalsam has no image encoder: create it with '
                f'encoder={" | ".join(map(repr, sam.ENCODERS))}'
            )
        return sam.encode_image(self.image_encoder, images, self.grid).permute(0, 2, 3, 1)

    def infer(self, tensor: Tensor, *prompts: Tensor) -> tuple[Tensor, ...]:
        """What a predictor runs, as two models at rates of their own.

        With an image encoder: images -> (features,). Without: features of one frame and one-hot
        prompts -> (logits, quality, prototypes num_classes x 256).
        """
        if self.image_encoder is not None:
            return (self.encode(tensor),)
        return *self.decode(tensor, *prompts), self.prototypes().detach()

    def load_encoder(self, path: str | Path) -> None:
        """Take the image encoder, and nothing else, from a checkpoint of SurgicalSAM or SAM.

        Raises what networks.load_checkpoint raises.
        """
        begin = 'image_encoder.'
        own = {key: x for key, x in self.state_dict().items() if not key.startswith(begin)}
        encoder = {key: x for key, x in read(Path(path)).items() if key.startswith(begin)}
        load_tensors(self, {**own, **encoder}, str(path))

    def load_sam(self, path: str | Path) -> None:
        """Begin from a checkpoint of SAM: encoders, decoder, and pn_cls_embeddings from points.

        One of SurgicalSAM serves as well; its prototypes and prompts are left out. Raises what
        networks.load_checkpoint raises.
        """
        kept = ('prototype_prompt_encoder.', 'prototypes.')
        own = {key: x for key, x in self.state_dict().items() if key.startswith(kept)}
        tensors = {**read(Path(path)), **own}
        for sign in (0, 1):
            point = tensors[f'prompt_encoder.point_embeddings.{sign}.weight']
            key = f'prototype_prompt_encoder.pn_cls_embeddings.{sign}.weight'
            tensors[key] = point.expand_as(tensors[key]).clone()
        load_tensors(self, tensors, str(path))


class PrototypePromptEncoder(nn.Module):
    """Turns a class into prompts: features that resemble its prototype are made stronger."""

    def __init__(self, num_tokens: int, grid: int = GRID) -> None:
        super().__init__()
        self._grid = grid
        self.dense_fc_1 = nn.Conv2d(CHANNELS, _HIDDEN, 1)
        self.dense_fc_2 = nn.Conv2d(_HIDDEN, CHANNELS, 1)
        self.sparse_fc_1 = nn.Conv1d(grid**2, _HIDDEN, 1)
        self.sparse_fc_2 = nn.Conv1d(_HIDDEN, num_tokens, 1)
        # added to the tokens of the classes that are not prompted (0), of the one that is (1)
        self.pn_cls_embeddings = nn.ModuleList(
            nn.Embedding(num_tokens, CHANNELS) for _ in range(2)
        )

    def forward(
        self, features: Tensor, prototypes: Tensor, prompts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Prompt N classes in F frames, F = N or 1; what they share is computed once per frame.

        features: F x 64 x 64 x 256; prototypes: K x 256; prompts: N x K, one-hot. Returns dense
        prompts N x 256 x 64 x 64 and sparse ones N x (K * num_tokens) x 256.
        """
        cells = features.flatten(1, 2)
        similarity = (cells @ prototypes.T).transpose(1, 2)  # F x K x 4096
        dense = self._dense(cells, (prompts[..., None] * similarity).sum(1))
        return dense, self._sparse(cells, similarity, prompts)

    def _dense(self, cells: Tensor, similarity: Tensor) -> Tensor:
        """cells: F x 4096 x 256; similarity: N x 4096, to the class that is prompted."""
        activated = (cells * (1 + similarity.unsqueeze(-1))).transpose(1, 2)
        maps = activated.unflatten(2, (self._grid, self._grid))
        dense: Tensor = self.dense_fc_2(F.relu(self.dense_fc_1(maps)))
        return dense

    def _sparse(self, cells: Tensor, similarity: Tensor, prompts: Tensor) -> Tensor:
        """Tokens of all classes, per frame; what is added to them tells which one is prompted."""
        activated = cells.unsqueeze(1) * (1 + similarity.unsqueeze(-1))  # F x K x 4096 x 256
        tokens = self.sparse_fc_2(F.relu(self.sparse_fc_1(activated.flatten(0, 1))))
        others, prompted = (signs.detach() for signs in self.pn_cls_embeddings.parameters())
        signs = torch.lerp(others, prompted, prompts[..., None, None])  # N x K x T x 256
        sparse: Tensor = (tokens.unflatten(0, similarity.shape[:2]) + signs).flatten(1, 2)
        return sparse


class Prototypes(nn.Module):
    """One vector per class, in the space of SAM's features; learned by contrast (NT-Xent)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.class_embeddings = nn.Embedding(num_classes, CHANNELS)

    def forward(self) -> Tensor:
        """Return num_classes x 256."""
        return self.class_embeddings.weight


def upscale_masks(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge logits N x 1 x 256 x 256 to frames of size (height, width), as SAM does.

    See sam_canvas.mask_matrices. Differentiable.
    """
    rows, columns = (
        torch.from_numpy(matrix).to(logits) for matrix in mask_matrices(*size, logits.shape[-1])
    )
    return rows @ logits @ columns.T
