"""The task of SurgicalSAM: on cached features of a frozen SAM as published, or end to end.

Yue et al., AAAI 2024, arXiv:2308.08746. Ours, and off in the published recipes: image bank
re-sampling, a loss that teaches the mask quality, and training of the image encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from surgseg_ros import networks
from surgseg_ros.datasets import SegmentationDataset, open_dataset
from surgseg_ros.metrics.segmentation import ConfusionMatrix
from surgseg_ros.networks.bundled import find_weights
from surgseg_ros.networks.sam import encode_image
from surgseg_ros.networks.sam_canvas import GRID, IMAGE_SIZE, check_canvas
from surgseg_ros.networks.sam_mobilenet import MobileNetEncoder
from surgseg_ros.networks.surgicalsam import SurgicalSam
from surgseg_ros.predictors.sam_input import SamInput
from surgseg_ros.training import recipe as recipes
from surgseg_ros.training.augmentation import make_augmentation
from surgseg_ros.training.segmentation.task import Data
from surgseg_ros.training.surgicalsam.feature_cache import FeatureCache, version_of, weights_digest
from surgseg_ros.training.surgicalsam.image_bank import ImageBank
from surgseg_ros.training.surgicalsam.loss import prompt_losses, prompts_of_images
from surgseg_ros.training.surgicalsam.samples import CachedImages, CachedPrompts, EncoderImages
from surgseg_ros.training.surgicalsam.validation import confusions, figures
from surgseg_ros.training.task import Batch, Task

# makes SAM's other three masks, which are not asked for: no gradient reaches it
_OTHER_MASKS = tuple(f'mask_decoder.output_hypernetworks_mlps.{i}.' for i in (1, 2, 3))
_QUALITY = 'mask_decoder.iou_prediction_head.'


@dataclass(frozen=True, kw_only=True)
class SurgicalSamNetwork:
    """Which SAM, and what of it is trained."""

    encoder: Literal['vit_b', 'vit_l', 'vit_h', 'mobilenet_v2']
    sam_weights: str | None = None  # checkpoint of SAM, or of SurgicalSAM for its SAM
    encoder_weights: str | None = None  # checkpoint for its image encoder only
    backbone: str | None = None  # mobilenet_v2's blocks: of LWANet, or torchvision's
    train_backbone: bool = False  # they, too, end to end; else only the neck
    num_tokens: recipes.Count = 2  # per class: 2 for EndoVis 2018, 4 for EndoVis 2017
    encoder_size: recipes.Count = IMAGE_SIZE  # px, side of what the encoder sees
    grid: recipes.Count = GRID  # features per side; below 64: not SAM's, but faster
    train_encoder: bool = False  # end to end; else on cached features, encoder frozen
    store_encoder: bool = False  # in the weights file, also where it is frozen


@dataclass(frozen=True, kw_only=True)
class Features:
    """Cached features, where the encoder is frozen."""

    cache: str = 'out/features'  # folder
    versions: recipes.Natural = 0  # augmented ones, in every second epoch; published: 40


@dataclass(frozen=True, kw_only=True)
class SurgicalSamLoss:
    """Dice + NT-Xent, and what the image bank adds to the batches they are computed of."""

    temperature: float = 0.07  # of NT-Xent
    contrast_trains_encoder: bool = True  # end to end: or only the prototypes
    quality_weight: recipes.NotNegative = 0.0  # of the mask quality's error; 0: not trained
    image_bank: recipes.Natural = 0  # samples drawn from the bank per batch; 0: no IBR, 4: IBR


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Which classes are not there: the thresholds of predictors.surgicalsam."""

    quality_threshold: float = 0.5
    presence_threshold: float = 0.5


@dataclass(frozen=True, kw_only=True)
class SurgicalSamRecipe(recipes.Recipe):
    """The keys of a recipe of this task."""

    network: SurgicalSamNetwork
    data: Data  # height, width: of the masks that the loss compares
    features: Features = field(default_factory=Features)
    augmentation: Mapping[str, object] = field(default_factory=dict)  # end to end only
    loss: SurgicalSamLoss = field(default_factory=SurgicalSamLoss)
    rejection: Rejection = field(default_factory=Rejection)


class SurgicalSamTask(Task):
    """Trains prototypes, prompt encoder and mask decoder; with train_encoder the encoder, too."""

    Recipe = SurgicalSamRecipe
    network: SurgicalSam

    def __init__(self, recipe: SurgicalSamRecipe) -> None:
        """Fills the cache. Raises ValueError with one sentence where the keys do not fit."""
        _check(recipe)
        self._recipe = recipe
        train, val = recipe.data.opened(open_dataset)
        self.class_names = train.class_names
        self.network_name = 'surgicalsam'
        self.network = make_network(recipe, len(self.class_names) - 1)
        self._frozen: dict[str, Tensor] = {}
        draws = recipe.loss.image_bank
        self._bank = ImageBank(draws, recipe.seed) if draws else None
        if recipe.network.train_encoder:
            self._train_on_images(train, val)
        else:
            self._train_on_features(train, val)
        stored = self._frozen or recipe.network.train_encoder
        self.network_options = {
            'encoder': recipe.network.encoder if stored else None,
            'num_tokens': recipe.network.num_tokens,
            'num_classes': self.network.num_classes,
            'grid': self.network.grid,
        }

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See loss.prompt_losses."""
        wanted = self._recipe.loss
        if self._recipe.network.train_encoder:
            features = self.network.encode(batch['images'])
            prompts = prompts_of_images(features, batch['labels'], self.network.num_classes)
            if not wanted.contrast_trains_encoder:
                prompts['class_embeddings'] = prompts['class_embeddings'].detach()
        else:
            prompts = self._bank.extend(batch) if self._bank else batch
        return prompt_losses(self.network, prompts, wanted.temperature, wanted.quality_weight)

    def measure(self, batch: Batch) -> list[dict[str, ConfusionMatrix]]:
        """Confusion of each image, by mode; see validation."""
        features = (
            batch['features'] if 'features' in batch else self.network.encode(batch['images'])
        )
        rules = self._recipe.rejection
        return [
            confusions(
                self.network,
                one[None].float(),
                labels,
                rules.quality_threshold,
                rules.presence_threshold,
                self._recipe.loss.temperature,
            )
            for one, labels in zip(features, batch['labels'].cpu().numpy(), strict=True)
        ]

    def metrics(self, measurements: list[list[dict[str, ConfusionMatrix]]]) -> dict[str, float]:
        """SurgicalSAM's figures in both modes; see validation.figures."""
        return figures([image for batch in measurements for image in batch], self.class_names)

    def weights(self) -> dict[str, Tensor]:
        """The network's, and the frozen encoder's where the recipe stores it."""
        return {**self._frozen, **self.network.state_dict()}

    def details(self) -> dict[str, object]:
        """What the predictor takes from the card, and which encoder the weights belong to."""
        wanted, rules = self._recipe.network, self._recipe.rejection
        return {
            'encoder': wanted.encoder,
            'encoder_size': wanted.encoder_size,
            'temperature': self._recipe.loss.temperature,
            'quality_threshold': rules.quality_threshold,
            'presence_threshold': rules.presence_threshold,
        }

    def state_dict(self) -> dict[str, object]:
        """The image bank, where there is one."""
        return {} if self._bank is None else self._bank.state_dict()

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take what state_dict() gave."""
        if self._bank is not None:
            self._bank.load_state_dict(state)

    def _train_on_images(self, train: SegmentationDataset, val: SegmentationDataset) -> None:
        recipe, size = self._recipe, _label_size(self._recipe)
        prepare = _Prepare(recipe.network.encoder_size)
        augment = make_augmentation(recipe.augmentation, train.image(0).shape[:2])
        self.train_samples = EncoderImages(train, prepare, size, augment, recipe.seed)
        self.val_samples = EncoderImages(val, prepare, size)

    def _train_on_features(self, train: SegmentationDataset, val: SegmentationDataset) -> None:
        """Fill the cache; the network goes on without its encoder."""
        wanted, labels = self._recipe.features, _label_size(self._recipe)
        encoder, self.network.image_encoder = self.network.image_encoder, None
        assert encoder is not None
        weights = {f'image_encoder.{key}': x for key, x in encoder.state_dict().items()}
        if self._recipe.network.store_encoder:
            self._frozen = weights
        name = f'{self._recipe.network.encoder}-{weights_digest(weights)}'
        size, grid = self._recipe.network.encoder_size, self._recipe.network.grid
        folder = Path(wanted.cache).expanduser() / f'{name}-{size}-{grid}'
        encode = _Encode(encoder, self._recipe)
        caches = [FeatureCache(folder, dataset) for dataset in (train, val)]
        epochs = range(self._recipe.schedule.epochs if wanted.versions else 0)
        caches[0].fill(encode, {version_of(epoch, wanted.versions) for epoch in epochs})
        caches[1].fill(encode)
        self.train_samples = CachedPrompts(caches[0], wanted.versions, labels)
        self.val_samples = CachedImages(caches[1], labels)


def make_network(recipe: SurgicalSamRecipe, num_classes: int) -> SurgicalSam:
    """The whole network with the weights that it starts from; trained is what a loss reaches."""
    wanted = recipe.network
    network = SurgicalSam(wanted.encoder, wanted.num_tokens, num_classes, wanted.grid)
    if wanted.sam_weights is not None:
        network.load_sam(Path(wanted.sam_weights).expanduser())
    if wanted.encoder_weights is not None:
        network.load_encoder(Path(wanted.encoder_weights).expanduser())
    if wanted.backbone is not None:
        assert isinstance(network.image_encoder, MobileNetEncoder)  # see _check
        network.image_encoder.load_blocks(find_weights(wanted.backbone))
    unreached = _OTHER_MASKS if recipe.loss.quality_weight else (*_OTHER_MASKS, _QUALITY)
    for name, parameter in network.named_parameters():
        if name.startswith(unreached):
            parameter.requires_grad = False
        elif name.startswith('image_encoder.'):
            blocks = name.startswith('image_encoder.blocks.')
            parameter.requires_grad = wanted.train_encoder and not (
                blocks and wanted.encoder == 'mobilenet_v2' and not wanted.train_backbone
            )
    return network


class _Prepare:
    """Frames of any size -> 3 x S x S float32 for the encoder."""

    def __init__(self, encoder_size: int) -> None:
        self._encoder_size = encoder_size
        self._inputs: dict[tuple[int, int], SamInput] = {}

    def __call__(self, image: np.ndarray) -> np.ndarray:
        size = image.shape[0], image.shape[1]
        if size not in self._inputs:
            spec = networks.spec('surgicalsam')
            self._inputs[size] = SamInput(*size, spec.mean, spec.std, self._encoder_size)
        seen: np.ndarray = self._inputs[size](image)[0].copy()
        return seen


class _Encode:
    """A frozen encoder: HxWx3 uint8 RGB -> features 64 x 64 x 256, on the recipe's device."""

    def __init__(self, encoder: nn.Module, recipe: SurgicalSamRecipe) -> None:
        wanted = recipe.machine.accelerator != 'cpu' and torch.cuda.is_available()
        self._device = torch.device('cuda' if wanted else 'cpu')
        self._encoder = encoder.to(self._device).eval()
        self._prepare = _Prepare(recipe.network.encoder_size)
        self._grid = recipe.network.grid

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(self._prepare(image))[None].to(self._device)
        return encode_image(self._encoder, tensor, self._grid)[0].permute(1, 2, 0)


def _label_size(recipe: SurgicalSamRecipe) -> tuple[int, int]:
    return recipe.data.height, recipe.data.width


def _check(recipe: SurgicalSamRecipe) -> None:
    """ValueError where a key is out of its range, or contradicts another."""
    network = recipe.network
    check_canvas(network.encoder_size, 'network.encoder_size')
    if not recipe.loss.temperature > 0:
        raise ValueError(
            f'loss.temperature must be a number above 0, not {recipe.loss.temperature:g}'
        )
    if network.train_encoder and recipe.loss.image_bank:
        raise ValueError(
            'loss.image_bank keeps features, which change where '
            'network.train_encoder is true: choose one of the two'
        )
    if network.train_encoder and recipe.features.versions:
        raise ValueError(
            'features.versions are of cached features; with network.train_encoder use augmentation'
        )
    if not (network.train_encoder or network.sam_weights or network.encoder_weights):
        raise ValueError(
            'a frozen encoder needs network.sam_weights or network.encoder_weights: '
            'its own would be random'
        )
    if network.backbone and network.encoder != 'mobilenet_v2':
        raise ValueError(
            f'network.backbone is for the encoder mobilenet_v2, not {network.encoder}'
        )
    if not network.train_encoder and recipe.augmentation:
        raise ValueError(
            'augmentation is for network.train_encoder; cached features have features.versions'
        )
