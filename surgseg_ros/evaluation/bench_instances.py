"""The contenders of `surgseg bench instances`: see bench_network."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from surgseg_ros import networks, predictors
from surgseg_ros.evaluation.bench_network import Task, Turn, textured
from surgseg_ros.networks.card import Card, read_card


def start(task: Task, options: Mapping[str, Any] | None) -> Turn:
    """Load a network that sees the whole image; options None: PyTorch eager, every mask computed.

    A turn makes the number of instances on every pixel, HxW uint8.
    """
    image = textured(task.width, task.height)
    if options is None:
        published = PublishedWay(task)
        return lambda: published.predict(image)
    predictor = predictors.create(
        task.network, weights=task.weights, threads=task.threads,
        input_size=(task.height, task.width), **options)

    return lambda: predictor.predict(image).masks.sum(axis=0, dtype=np.uint8)


class PublishedWay:
    """SOLO in PyTorch eager, float32: the masks of all cells, then those that pass.

    It is faster than its authors' code in one thing: the mask convolution comes before the
    upsampling (see networks/solo).
    """

    def __init__(self, task: Task) -> None:
        import torch

        if task.threads:
            torch.set_num_threads(task.threads)
        self._torch, spec = torch, networks.spec(task.network)
        self._mean, self._std = np.array((spec.mean, spec.std), np.float32)
        self._multiple = spec.multiple
        card = read_card(task.weights) or Card(task.network)
        self._network: Any = networks.create(task.network, **card.options).eval()
        networks.load_checkpoint(self._network, task.weights)

    def predict(self, image: np.ndarray) -> np.ndarray:
        """HxWx3 uint8 RGB -> HxW uint8, the number of instances."""
        size = image.shape[:2]
        values = (image.astype(np.float32) / 255 - self._mean) / self._std
        bottom, right = (-n % self._multiple for n in size)
        padded = cv2.copyMakeBorder(values, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0)
        tensor = self._torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]))
        with self._torch.no_grad():
            found = self._network.decode(*self._network(tensor), content=size)
        count: np.ndarray = found.masks.sum(axis=0, dtype=np.uint8)
        return count

