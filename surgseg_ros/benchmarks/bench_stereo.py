"""The contenders of `surgseg bench stereo`: see bench_network."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from surgseg_ros import networks
from surgseg_ros.benchmarks.bench_network import Turn, Workload, textured
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.perception.stereo import StereoSettings, StereoStep
from surgseg_ros.predictors.scaling import predict_scaled

if TYPE_CHECKING:
    from torch import Tensor


def start(task: Workload, options: Mapping[str, Any] | None) -> Turn:
    """Load a network; options None: as its authors run it. A turn makes the disparity."""
    left, right = textured_pair(task.width, task.height)
    if options is None:
        published = PublishedWay(task.network, task.weights, task.threads)
        return lambda: predict_scaled(published, left, right, task.scale).disparity
    settings = StereoSettings(
        model=task.network, weights=task.weights, threads=task.threads, scale=task.scale, **options
    )
    step, frame = StereoStep(settings), StereoFrame(0, left, right)
    return lambda: step(frame).disparity


class PublishedWay:
    """Inference as in the authors' scripts: PyTorch eager, float32, every scale computed."""

    def __init__(self, name: str, weights: str, threads: int | None) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self._torch, known = torch, networks.spec(name)
        self._network = networks.create(name).eval()
        networks.load_checkpoint(self._network, weights)
        self._mean = torch.tensor(known.mean).reshape(3, 1, 1)
        self._std = torch.tensor(known.std).reshape(3, 1, 1)

    def predict(self, left: np.ndarray, right: np.ndarray) -> StereoResult:
        """See Matcher."""
        with self._torch.no_grad():
            disparities, logits = self._network(self._tensor(left), self._tensor(right))
            mask = self._torch.sigmoid(logits) > 0.5
        disparity = disparities[0][0, 0].numpy()
        disparity[disparity <= 0] = np.nan
        return StereoResult(disparity, mask[0, 0].numpy().astype(np.uint8))

    def _tensor(self, image: np.ndarray) -> 'Tensor':
        values = self._torch.from_numpy(image).permute(2, 0, 1).float() / 255
        return ((values - self._mean) / self._std)[None]


def textured_pair(width: int, height: int, shift: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """HxWx3 uint8 each, the right view `shift` px further right in the scene."""
    scene = textured(width + shift, height)
    return np.ascontiguousarray(scene[:, :width]), np.ascontiguousarray(scene[:, shift:])
