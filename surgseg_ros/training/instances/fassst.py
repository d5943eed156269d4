"""The task of FASSST: instances from a box per grid cell (networks/fassst.py, section 3.5)."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from surgseg_ros.frames.results import mask_boxes
from surgseg_ros.networks.fassst import Fassst
from surgseg_ros.networks.fassst_decode import decode
from surgseg_ros.predictors.preprocess import resize
from surgseg_ros.training import recipe as recipes
from surgseg_ros.training.augmentation import make_augmentation
from surgseg_ros.training.instances.task import (
    Found,
    InstanceRecipe,
    InstanceTask,
    TrainingSamples,
    ValidationSamples,
)
from surgseg_ros.training.losses.fassst import Targets, fassst_loss
from surgseg_ros.training.task import Batch, Sample


@dataclass(frozen=True, kw_only=True)
class FassstLoss:
    """Weights of the three parts."""

    mask: recipes.NotNegative = 5.75
    location: recipes.NotNegative = 3.0
    classification: recipes.NotNegative = 1.25


@dataclass(frozen=True, kw_only=True)
class FassstRecipe(InstanceRecipe):
    """The keys of a recipe of this task; the size of the images is the network's."""

    loss: FassstLoss = field(default_factory=FassstLoss)


class FassstTask(InstanceTask):
    """The three losses of the paper; COCO's average precision."""

    Recipe = FassstRecipe
    has_unused_parameters = True  # a frame without instances has no masks to learn
    network: Fassst

    def __init__(self, recipe: FassstRecipe) -> None:
        """Raises ValueError with one sentence where the recipe and the data do not fit."""
        super().__init__(recipe, Fassst)
        size, self._grid = self.network.size, self.network.attention.grid
        augment = make_augmentation({'border_label': 0, **recipe.augmentation}, (size, size))
        self.train_samples = TrainingSamples(self.train_data, augment, recipe.seed)
        self.val_samples = ValidationSamples(
            self.val_data, partial(resize, width=size, height=size)
        )
        self._loss = recipe.loss

    def targets(self, samples: list[Sample], size: tuple[int, int]) -> Targets:
        """See make_targets."""
        return make_targets(samples, self._grid)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Dice, localisation and classification, weighted."""
        weights = self._loss
        return fassst_loss(
            self.network,
            self.normalised(batch['image']),
            batch['targets'],
            weights.mask,
            weights.location,
            weights.classification,
        )

    def find(self, batch: Batch) -> list[Found]:
        """Instances as the predictor decodes them."""
        outputs = self.network(self.normalised(batch['image']))
        arrays = zip(*(output.float().cpu().numpy() for output in outputs), strict=True)
        return [
            Found(*decode(boxes, scores, logits, size))
            for (boxes, scores, logits), size in zip(arrays, batch['size'], strict=True)
        ]

    def details(self) -> dict[str, object]:
        """The size (height, width) that the network was trained at."""
        return {'input_size': [self.network.size, self.network.size]}


def make_targets(samples: list[Sample], grid: int) -> Targets:
    """Of the grid^2 largest instances of each frame (class_ids and masks, the largest first)."""
    frames = []
    for sample in samples:
        class_ids, masks = (sample[key][: grid**2] for key in ('class_ids', 'masks'))
        boxes = mask_boxes(masks.numpy()) / np.float32(masks.shape[1])
        cells = torch.from_numpy(assign_cells(boxes, grid))
        frames.append((class_ids > 0, torch.from_numpy(boxes), class_ids - 1, cells, masks))
    most = max(1, *(len(frame[0]) for frame in frames))
    return Targets(
        *(
            torch.stack([_fill(one, most) for one in values])
            for values in zip(*frames, strict=True)
        )
    )


def assign_cells(boxes: np.ndarray, grid: int) -> np.ndarray:
    """The cell that answers for each instance, N int64, each cell for one at most.

    boxes: N x 4 fractions, at most grid^2, the first ones choose first. It is the cell that the
    box's centre lies in or, where that is taken, the free one whose centre is nearest.
    """
    centres = (np.arange(grid) + 0.5) / grid
    cells = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    chosen = np.empty(len(boxes), np.int64)
    for index, box in enumerate(boxes):
        chosen[index] = np.abs(cells - (box[:2] + box[2:]) / 2).max(axis=1).argmin()
        cells[chosen[index]] = np.inf
    return chosen


def _fill(values: Tensor, count: int) -> Tensor:
    """Zeros behind the values, up to so many of them."""
    return F.pad(values, (0, 0) * (values.ndim - 1) + (0, count - len(values)))
