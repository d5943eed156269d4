"""What a network may tell about itself, besides being a torch module. Imports no torch.

Only `infer` is needed to be run; whatever else a network lacks, it does not have.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn


class Inferring(Protocol):
    """A network that a backend can run."""

    def infer(self, *inputs: 'Tensor') -> 'tuple[Tensor, ...]':
        """The tensors that its predictor needs, of the inputs that its spec's examples show."""
        ...


@runtime_checkable
class TellsOptions(Protocol):
    """A class of networks whose options can be seen in a checkpoint."""

    @staticmethod
    def options_of(tensors: 'Mapping[str, Tensor]') -> dict[str, object]:
        """Options of networks.create that keys and shapes tell."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A network that was told to be without a part that checkpoints have."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Prefixes of the keys that it does not take from a checkpoint."""
        ...


@runtime_checkable
class HasOptionalKeys(Protocol):
    """A network that also loads checkpoints without some of its tensors."""

    @property
    def optional_keys(self) -> frozenset[str]:
        """Keys of the tensors that then stay as they are."""
        ...


@runtime_checkable
class HasImagenetBackbone(Protocol):
    """A network that can begin with a backbone that torchvision has trained on ImageNet."""

    def load_imagenet(self, path: str | Path) -> None:
        """Load torchvision's checkpoint into the backbone."""
        ...


@runtime_checkable
class HasMobileNet(Protocol):
    """A network with an encoder of MobileNetV2."""

    def encoder_blocks(self) -> 'dict[int, nn.Module]':
        """Its blocks by their place in MobileNetV2; empty where it was made with another one."""
        ...
