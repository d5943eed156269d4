"""What the training loop requires of a network to be trained."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeAlias

from torch import Tensor, nn
from torch.utils.data import default_collate

from surgseg_ros.training.recipe import Recipe

Sample: TypeAlias = dict[str, Any]  # tensors by name; truth of instances as the task keeps it
Batch: TypeAlias = Sample  # what collate() makes of several samples


class Samples(Protocol):
    """Samples for training or validation, by (epoch, index); index counts from 0.

    An item is a pure function of (seed of the recipe, epoch, index): no state, no global random
    numbers. So neither worker processes nor a resumed run change what the network sees. For
    validation the epoch is always 0.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int]) -> Sample: ...


class Task(ABC):
    """One network with its samples, its loss and its metrics; made from its recipe.

    The constructor is called as Task(recipe) in every process, torch's generator seeded before.

    Recipe: the task's own subclass of recipe.Recipe; its fields are the keys of the YAML.
    network: on the CPU; the loop moves it, in place. Trained is what requires a gradient.
    network_name, network_options: as for networks.create, for the card.
    class_names: index = class id, 0 = background.
    train_samples, val_samples: see Samples.
    has_unused_parameters: may a step leave some trained parameters without a gradient?
    sizes_differ: may one batch have images of another size than the next?
    """

    Recipe: ClassVar[type[Recipe]]
    has_unused_parameters: ClassVar[bool] = False
    sizes_differ: ClassVar[bool] = False
    network: nn.Module
    network_name: str
    network_options: Mapping[str, object]
    class_names: tuple[str, ...]
    train_samples: Samples
    val_samples: Samples

    def start_training(self) -> None:
        """Put the network into training mode, except for layers that stay frozen.

        Called before every epoch.
        """
        self.network.train()

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars of one collated batch on the network's device, the network in training mode.

        'loss' is minimised; the others are logged. Random numbers come from torch's generators,
        which the loop seeds for every step, so that a resumed run draws the same.
        """

    @abstractmethod
    def measure(self, batch: Batch) -> Any:
        """What metrics() needs to know of one validation batch; no gradients, evaluation mode.

        Anything that pickles; numbers and numpy arrays, not tensors on a GPU.
        """

    @abstractmethod
    def metrics(self, measurements: list[Any]) -> dict[str, float]:
        """Metrics of the whole validation set, from measure() of all its batches, in order.

        With several processes each measures a share; the result is of all of them.
        """

    def collate(self, samples: list[Sample]) -> Batch:
        """One batch of several samples."""
        batch: Batch = default_collate(samples)
        return batch

    def weights(self) -> dict[str, Tensor]:
        """Tensors of the checkpoint that predictors load: the network's, unless overridden."""
        return self.network.state_dict()

    def images_digest(self) -> str:
        """Changes with the names of the images of training and validation; '' if none have any."""
        datasets: list[Any] = [
            getattr(samples, 'dataset', None) for samples in (self.train_samples, self.val_samples)
        ]
        names = [
            dataset.name(index)
            for dataset in datasets
            if hasattr(dataset, 'name')
            for index in range(len(dataset))
        ]
        return hashlib.sha256('\n'.join(names).encode()).hexdigest()[:16] if names else ''

    def details(self) -> dict[str, object]:
        """More for the card, such as input_size; what JSON can hold."""
        return {}

    def state_dict(self) -> dict[str, object]:
        """What a resumed run needs besides the network, such as an image bank.

        Tensors, numbers, strings, lists and dicts of them only: it is read without pickle. With
        several processes each keeps its own.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take what state_dict() gave; called once, before the first step."""
        if state:
            raise ValueError(f'{type(self).__name__} keeps no state, but finds {", ".join(state)}')
