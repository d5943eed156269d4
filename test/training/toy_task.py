"""A task that takes milliseconds: find bright squares with two convolutions and noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from surgseg_ros.training.determinism import derive_seed
from surgseg_ros.training.recipe import Recipe
from surgseg_ros.training.task import Task


@dataclass(frozen=True, kw_only=True)
class ToyRecipe(Recipe):
    samples: int = 12
    fail_at: int | None = None  # step whose loss is not a number


class ToySamples:
    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self._seed, *key))
        image = torch.randn(1, 8, 8, generator=generator)
        return {'image': image, 'truth': (image > 0.5).float()}


class ToyTask(Task):
    """Keeps a state of its own: how many samples it has seen, and their mean so far."""

    Recipe = ToyRecipe
    network_name, network_options, class_names = 'toy', {'width': 4}, ('dark', 'bright')

    def __init__(self, recipe: ToyRecipe) -> None:
        self.network = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv2d(4, 1, 1),
        )
        self.train_samples = ToySamples(recipe.samples, recipe.seed)
        self.val_samples = ToySamples(5, recipe.seed + 1)
        self.seen, self.mean, self._fail_at = 0, torch.zeros(1), recipe.fail_at

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        noise = torch.randn_like(batch['image']) + self.mean
        logits = self.network(batch['image'] + 0.1 * noise)
        self.seen += len(logits)
        self.mean = 0.9 * self.mean + 0.1 * batch['image'].mean().reshape(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch['truth'])
        failed = self._fail_at is not None and self.seen > self._fail_at
        return {'loss': loss * float('nan') if failed else loss, 'logit': logits.mean()}

    def measure(self, batch: dict[str, Any]) -> list[bool]:
        right = (self.network(batch['image']) > 0) == (batch['truth'] > 0)
        return right.flatten().tolist()

    def metrics(self, measurements: list[Any]) -> dict[str, float]:
        right = [one for batch in measurements for one in batch]
        return {'accuracy': sum(right) / len(right), 'counted': float(len(right))}

    def state_dict(self) -> dict[str, Any]:
        return {'seen': self.seen, 'mean': self.mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen, self.mean = state['seen'], state['mean']
