"""The contenders of `surgseg bench instances`: see bench_network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from surgseg_ros import networks, predictors
from surgseg_ros.evaluation.bench_network import Task, Turn, textured
from surgseg_ros.networks import fassst_decode
from surgseg_ros.networks.card import Card, read_card
from surgseg_ros.predictors.preprocess import resize

_FASSST_SCORE = 0.3  # threshold of its predictor


def start(task: Task, options: Mapping[str, Any] | None) -> Turn:
    """Load a network that sees the whole image; options None: PyTorch eager, as published.

    SOLO sees the image at its size, FASSST at its own. A turn makes the number of instances on
    every pixel, HxW uint8.
    """
    image = textured(task.width, task.height)
    solo = task.network.startswith('solo')
    if options is None:
        published = PublishedSolo(task) if solo else PublishedFassst(task)
        return lambda: _count(published.find(image))
    shown: dict[str, Any] = (
        {'input_size': (task.height, task.width)} if solo else {'score_threshold': _FASSST_SCORE})
    predictor = predictors.create(
        task.network, weights=task.weights, threads=task.threads, **shown, **options)
    return lambda: _count(predictor.predict(image).masks)


def _count(masks: np.ndarray) -> np.ndarray:
    count: np.ndarray = masks.sum(axis=0, dtype=np.uint8)
    return count


class PublishedWay(ABC):
    """A network of instances in PyTorch eager, float32."""

    def __init__(self, task: Task) -> None:
        import torch

        if task.threads:
            torch.set_num_threads(task.threads)
        self._torch, self._spec = torch, networks.spec(task.network)
        card = read_card(task.weights) or Card(task.network)
        self._network: Any = networks.create(task.network, **card.options).eval()
        networks.load_checkpoint(self._network, task.weights)

    def find(self, image: np.ndarray) -> np.ndarray:
        """HxWx3 uint8 RGB -> N x H x W bool, masks of the instances."""
        with self._torch.no_grad():
            return self._find(image)

    @abstractmethod
    def _find(self, image: np.ndarray) -> np.ndarray:
        """See find."""

    def _tensor(self, image: np.ndarray, multiple: int = 1) -> Any:
        """Normalise HxWx3 uint8 RGB, and fill it up with 0 right and below: 1 x 3 x H' x W'."""
        mean, std = np.array((self._spec.mean, self._spec.std), np.float32)
        values = (image.astype(np.float32) / 255 - mean) / std
        bottom, right = (-n % multiple for n in image.shape[:2])
        padded = cv2.copyMakeBorder(values, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0)
        return self._torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]))


class PublishedSolo(PublishedWay):
    """SOLO: the masks of all cells, then those that pass.

    The mask convolution comes after the upsampling, unlike in networks/solo. (Networks with
    attention are published nowhere; they run as they are.)
    """

    def _find(self, image: np.ndarray) -> np.ndarray:
        outputs = self._outputs(self._tensor(image, self._spec.multiple))
        masks: np.ndarray = self._network.decode(*outputs, content=image.shape[:2]).masks
        return masks

    def _outputs(self, tensor: Any) -> tuple[Any, Any]:
        from surgseg_ros.networks.solo import category_scores

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
        return masks, [category_scores(level.categories) for level in levels]


class PublishedFassst(PublishedWay):
    """FASSST as the paper describes it; its authors publish no code."""

    def _find(self, image: np.ndarray) -> np.ndarray:
        side = self._network.size
        boxes, scores, masks = (
            output[0].numpy() for output in self._network(self._tensor(resize(image, side, side))))
        found = fassst_decode.decode(boxes, scores, masks, image.shape[:2], _FASSST_SCORE)
        return found.masks
