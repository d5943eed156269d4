"""The contenders of `surgseg bench semantic`: see bench_network."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros import networks, predictors
from surgseg_ros.evaluation.bench_network import Task, Turn, textured

_INPUT = (544, 960)   # height, width of the largest image that the network sees: the paper's


def start(task: Task, options: Mapping[str, Any] | None) -> Turn:
    """Load a network; options None: as its authors run it. A turn makes the labels."""
    image = textured(task.width, task.height)
    if options is None:
        published = PublishedWay(task)
        return lambda: published.predict(image)
    predictor = predictors.create(
        task.network, weights=task.weights, threads=task.threads, input_size=_INPUT,
        reduction='max', **options)
    return lambda: predictor.predict(image).labels


class PublishedWay:
    """LWANet as its authors run it, in float32, with labels of the whole frame.

    Normalise, take maxima of whole blocks (2x2 of 1920x1080), pad evenly; PyTorch eager; enlarge
    what comes out bilinearly, crop, argmax.
    """

    def __init__(self, task: Task) -> None:
        import torch

        from surgseg_ros.networks.checkpoints import read

        if task.threads:
            torch.set_num_threads(task.threads)
        self._torch, spec = torch, networks.spec(task.network)
        self._mean, self._std = np.array((spec.mean, spec.std), np.float32)
        self._multiple = spec.multiple
        self._factor = max(
            math.ceil(task.height / _INPUT[0]), math.ceil(task.width / _INPUT[1]))
        options = networks.options_of(task.network, read(Path(task.weights)))
        self._network = networks.create(task.network, **options).eval()
        networks.load_checkpoint(self._network, task.weights)

    def predict(self, image: np.ndarray) -> np.ndarray:
        """HxWx3 uint8 RGB -> HxW uint8 class ids."""
        resample, factor = self._torch.nn.functional, self._factor
        values = (image.astype(np.float32) / 255 - self._mean) / self._std
        tensor = self._torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
        with self._torch.no_grad():
            seen = resample.max_pool2d(tensor, factor)
            top, left = (-n % self._multiple // 2 for n in seen.shape[2:])
            output = self._network(resample.pad(seen, (left, left, top, top)))
            full = resample.interpolate(
                output, scale_factor=4 * factor, mode='bilinear', align_corners=False)
            height, width = image.shape[:2]
            rows = slice(factor * top, factor * top + height)
            columns = slice(factor * left, factor * left + width)
            labels: np.ndarray = full[0, :, rows, columns].argmax(dim=0).numpy().astype(np.uint8)
        return labels
