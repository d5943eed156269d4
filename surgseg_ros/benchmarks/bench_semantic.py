"""The contenders of `surgseg bench semantic`: see bench_network."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros import networks
from surgseg_ros.benchmarks.bench_network import Turn, Workload, textured
from surgseg_ros.benchmarks.eager import Eager
from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.perception.semantic import SemanticSettings, SemanticStep


def start(task: Workload, options: Mapping[str, Any] | None) -> Turn:
    """Load a network; options None: as its authors run it. A turn makes the labels."""
    image = textured(task.width, task.height)
    if options is None:
        way = PublishedWay(task)
        return lambda: way.predict(image)
    settings = SemanticSettings(
        model=task.network, weights=task.weights, threads=task.threads, **options
    )
    published = networks.spec(task.network).input_size
    step = SemanticStep(settings, input_size=published, reduction='max')
    frame = LeftFrame(0, image)
    return lambda: step(frame).labels


class PublishedWay:
    """LWANet as its authors run it, in float32, with labels of the whole frame.

    Normalise, take maxima of whole blocks (2x2 of 1920x1080), pad evenly; PyTorch eager; enlarge
    what comes out bilinearly, crop, argmax.
    """

    def __init__(self, task: Workload) -> None:
        from surgseg_ros.networks.checkpoints import read

        options = networks.options_of(task.network, read(Path(task.weights)))
        self._eager = Eager(task, options)
        highest, widest = self._eager.spec.input_size
        self._factor = max(math.ceil(task.height / highest), math.ceil(task.width / widest))

    def predict(self, image: np.ndarray) -> np.ndarray:
        """HxWx3 uint8 RGB -> HxW uint8 class ids."""
        eager, factor = self._eager, self._factor
        resample = eager.torch.nn.functional
        with eager.torch.no_grad():
            seen = resample.max_pool2d(eager.normalised(image), factor)
            top, left = (-n % eager.spec.multiple // 2 for n in seen.shape[2:])
            output = eager.network(resample.pad(seen, (left, left, top, top)))
            full = resample.interpolate(
                output,
                scale_factor=eager.spec.stride * factor,
                mode='bilinear',
                align_corners=False,
            )
            height, width = image.shape[:2]
            rows = slice(factor * top, factor * top + height)
            columns = slice(factor * left, factor * left + width)
            labels: np.ndarray = full[0, :, rows, columns].argmax(dim=0).numpy().astype(np.uint8)
        return labels
