"""The task of SOLO, with or without attention (networks/solo.py); trained as published.

Wang et al., "SOLO: Segmenting Objects by Locations", ECCV 2020, arXiv:1912.04488, sections 3.3
and 4: ResNet from ImageNet, its batch normalisation and its first stage frozen, images resized to
several scales.
"""

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from surgseg_ros import networks
from surgseg_ros.networks.solo import Solo
from surgseg_ros.networks.solo_decode import cells_per_level, decode
from surgseg_ros.predictors.preprocess import fitted
from surgseg_ros.training import recipe as recipes
from surgseg_ros.training.augmentation import Augmentation, make_augmentation, resize_labels
from surgseg_ros.training.instances.solo_targets import make_targets, scale_ranges
from surgseg_ros.training.instances.task import (
    Found,
    InstanceRecipe,
    InstanceTask,
    TrainingSamples,
    ValidationSamples,
)
from surgseg_ros.training.losses.solo import LevelTargets, solo_loss
from surgseg_ros.training.task import Batch, Sample


@dataclass(frozen=True, kw_only=True)
class Data(recipes.Data):
    """Images and instances, and the sizes at which the network sees them."""

    short: tuple[recipes.Count, ...]  # px of the shorter side: any to train, the first to validate
    long: recipes.Count  # px that the longer side has at most


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """What stays as it starts."""

    frozen_norm: bool = True  # statistics of batch normalisation; its scales are trained
    frozen_stages: Literal[0, 1, 2, 3, 4] = 1  # of four, counted from the image


@dataclass(frozen=True, kw_only=True)
class SoloLoss:
    """Focal loss of the categories has the weight 1."""

    mask: recipes.NotNegative = 3.0


@dataclass(frozen=True, kw_only=True)
class SoloRecipe(InstanceRecipe):
    """The keys of a recipe of this task."""

    data: Data
    backbone: Backbone = field(default_factory=Backbone)
    loss: SoloLoss = field(default_factory=SoloLoss)


class SoloTask(InstanceTask):
    """Focal and Dice loss; COCO's average precision."""

    Recipe = SoloRecipe
    sizes_differ = True  # with the shape of the images, and where there are several sizes
    network: Solo

    def __init__(self, recipe: SoloRecipe) -> None:
        """Raises ValueError with one sentence where the recipe and the data do not fit."""
        _check(recipe)
        super().__init__(recipe, Solo)
        data = recipe.data
        self._box = data.short[0], data.long
        augment = make_augmentation({'border_label': 0, **recipe.augmentation}, None)
        self.train_samples = TrainingSamples(
            self.train_data, _in_any_size(augment, data.short, data.long), recipe.seed
        )
        self.val_samples = ValidationSamples(self.val_data, self._fit)
        self._multiple = networks.spec(recipe.network.name).multiple
        self._ranges = scale_ranges(data.short[0])
        self._backbone, self._mask_weight = recipe.backbone, recipe.loss.mask
        for stage in self.network.backbone.first_stages(recipe.backbone.frozen_stages):
            stage.requires_grad_(False)

    def stack(self, images: list[Tensor]) -> Batch:
        """Images filled up to one size, right and below; contents: their own (height, width)."""
        contents = [tuple(image.shape[1:]) for image in images]
        height, width = (
            -(-max(sides) // self._multiple) * self._multiple
            for sides in zip(*contents, strict=True)
        )
        filled = torch.stack([_pad(image, height, width) for image in images])
        return {'image': filled, 'contents': torch.tensor(contents)}

    def targets(self, samples: list[Sample], size: tuple[int, int]) -> list[LevelTargets]:
        """See solo_targets.make_targets."""
        truth = [
            (sample['class_ids'].numpy(), _pad(sample['masks'], *size).numpy())
            for sample in samples
        ]
        return make_targets(truth, size, self.network.bbox_head.grids, self._ranges)

    def start_training(self) -> None:
        """Statistics that are frozen stay in evaluation mode."""
        super().start_training()
        if self._backbone.frozen_norm:
            frozen: list[nn.Module] = [self.network.backbone]
        else:
            frozen = self.network.backbone.first_stages(self._backbone.frozen_stages)
        for part in frozen:
            for module in part.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Dice of the masks and focal loss of the categories."""
        return solo_loss(self.network, self._input(batch), batch['targets'], self._mask_weight)

    def find(self, batch: Batch) -> list[Found]:
        """Instances as the predictor decodes them, from the masks of its candidates."""
        masks, scores = (x.float().cpu().numpy() for x in self.network.infer(self._input(batch)))
        found = []
        counts = cells_per_level(self.network.candidates, self.network.bbox_head.grids)
        frames = zip(masks, scores, batch['contents'].tolist(), batch['size'], strict=True)
        for mask, score, content, size in frames:
            one = decode(mask, score, counts, tuple(content), size)
            found.append(Found(one.labels + 1, one.scores, one.masks))
        return found

    def details(self) -> dict[str, object]:
        """The box (shorter, longer side) that the predictor fits images into."""
        return {'input_size': list(self._box)}

    def _input(self, batch: Batch) -> Tensor:
        """Normalised images; what fills them up is 0, as for the predictor."""
        image = self.normalised(batch['image'])
        rows, columns = (
            torch.arange(length, device=image.device) < batch['contents'][:, axis, None]
            for axis, length in enumerate(image.shape[2:])
        )
        masked: Tensor = image * (rows[:, None, :, None] & columns[:, None, None, :])
        return masked

    def _fit(self, image: np.ndarray) -> np.ndarray:
        return _resized(image, *self._box)


def _in_any_size(augment: Augmentation, short: tuple[int, ...], long: int) -> Augmentation:
    """The augmentation, after resizing to one of the sizes at random."""

    def augment_resized(
        image: np.ndarray, labels: np.ndarray, rng_seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        side = short[rng_seed % len(short)]
        image = _resized(image, side, long)
        return augment(image, resize_labels(labels, *image.shape[:2]), rng_seed)

    return augment_resized


def _resized(image: np.ndarray, short: int, long: int) -> np.ndarray:
    height, width = fitted(image.shape[0], image.shape[1], short, long)
    return cv2.resize(image, (width, height))


def _pad(values: Tensor, height: int, width: int) -> Tensor:
    """... x h x w -> ... x height x width."""
    return F.pad(values, (0, width - values.shape[-1], 0, height - values.shape[-2]))


def _check(recipe: SoloRecipe) -> None:
    network, frozen = recipe.network, recipe.backbone
    if not recipe.data.short:
        raise ValueError('data.short is empty, expected at least one size in px')
    if (frozen.frozen_stages or frozen.frozen_norm) and not any(
        (network.imagenet, network.encoder, network.weights)
    ):
        raise ValueError(
            'what is frozen would stay random: set network.imagenet, '
            'network.encoder or network.weights, or backbone.frozen_stages=0 and '
            'backbone.frozen_norm=false'
        )
