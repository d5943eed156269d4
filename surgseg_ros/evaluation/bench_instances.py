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
    """SOLO in PyTorch eager, float32, as published: the masks of all cells, then those that pass.

    The mask convolution comes after the upsampling, unlike in networks/solo. (Networks with
    attention are published nowhere; they run as they are.)
    """

    def __init__(self, task: Task) -> None:
        import torch

        from surgseg_ros.networks.solo import category_scores

        if task.threads:
            torch.set_num_threads(task.threads)
        self._torch, spec = torch, networks.spec(task.network)
        self._mean, self._std = np.array((spec.mean, spec.std), np.float32)
        self._multiple, self._scores = spec.multiple, category_scores
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
            found = self._network.decode(*self._outputs(tensor), content=size)
        count: np.ndarray = found.masks.sum(axis=0, dtype=np.uint8)
        return count

    def _outputs(self, tensor: Any) -> tuple[Any, Any]:
        head, resample = self._network.bbox_head, self._torch.nn.functional.interpolate
        if head.attention is not None:
            masks, scores = self._network(tensor)
            return masks, scores
        levels, size = self._network.levels(tensor), (tensor.shape[2] // 4, tensor.shape[3] // 4)
        masks = [
            resample(
                convolution(resample(level.tower, scale_factor=2, mode='bilinear')).sigmoid(),
                size=size, mode='bilinear')
            for convolution, level in zip(head.solo_ins_list, levels, strict=True)
        ]
        return masks, [self._scores(level.categories) for level in levels]
