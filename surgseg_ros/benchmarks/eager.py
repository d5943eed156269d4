"""Networks as their authors run them: PyTorch eager, float32."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from surgseg_ros import networks
from surgseg_ros.benchmarks.bench_network import Workload

if TYPE_CHECKING:
    from torch import Tensor


class Eager:
    """The network of a task with its weights, and images as it takes them."""

    def __init__(self, task: Workload, options: Mapping[str, object]) -> None:
        """options: of networks.create."""
        import torch

        if task.threads:
            torch.set_num_threads(task.threads)
        self.torch, self.spec = torch, networks.spec(task.network)
        self.network: Any = networks.create(task.network, **options).eval()
        networks.load_checkpoint(self.network, task.weights)

    def normalised(self, image: np.ndarray, multiple: int = 1) -> 'Tensor':
        """HxWx3 uint8 RGB -> 1 x 3 x H' x W' float32, filled up with 0 right and below."""
        mean, std = np.array((self.spec.mean, self.spec.std), np.float32)
        values = (image.astype(np.float32) / 255 - mean) / std
        bottom, right = (-n % multiple for n in image.shape[:2])
        if bottom or right:
            values = cv2.copyMakeBorder(values, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0)
        return self.torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
