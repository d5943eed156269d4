"""Samples that SurgicalSAM trains and is validated on, with and without its image encoder."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from surgseg_ros.datasets import SegmentationDataset
from surgseg_ros.training.augmentation import Augmentation, resize_labels
from surgseg_ros.training.determinism import derive_seed
from surgseg_ros.training.surgicalsam.feature_cache import CachedImage, FeatureCache, version_of

Size = tuple[int, int] | None  # height, width of the labels; None: the frame's


class CachedPrompts:
    """One (image, class of it) per item, as published: features from the cache.

    An item: features 64x64x256 float16, labels HxW uint8 of the whole image, class_ids, and its
    class_embeddings 256 float32. The epoch decides the augmented version; where a class has left
    the augmented image, the unaugmented one takes its place.
    """

    def __init__(self, cache: FeatureCache, versions: int, size: Size = None) -> None:
        """versions: augmented ones to go through; 0: the images as they are, in every epoch."""
        self._cache = cache
        self._versions = versions
        self._size = size
        self._prompts = [
            (image, class_id) for image in range(len(cache)) for class_id in cache.class_ids(image)
        ]

    def __len__(self) -> int:
        return len(self._prompts)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        image, class_id = self._prompts[index]
        version = version_of(epoch, self._versions) if self._versions else 0
        cached = self._cache.read(image, version)
        if class_id not in cached.class_ids:
            cached = self._cache.read(image)
        row = int(np.searchsorted(cached.class_ids, class_id))
        return {
            **_tensors(cached, self._size),
            'class_ids': torch.tensor(class_id),
            'class_embeddings': torch.from_numpy(cached.class_embeddings[row]),
        }


class CachedImages:
    """One whole image per item, unaugmented: features and labels as in CachedPrompts."""

    def __init__(self, cache: FeatureCache, size: Size = None) -> None:
        self._cache = cache
        self._size = size

    def __len__(self) -> int:
        return len(self._cache)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        return _tensors(self._cache.read(key[1]), self._size)


class EncoderImages:
    """One whole image per item, for a network that encodes it itself.

    An item: images 3 x S x S float32, prepared for the encoder; labels HxW uint8.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        prepare: Callable[[np.ndarray], np.ndarray],
        size: Size = None,
        augment: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        """prepare: HxWx3 uint8 RGB -> 3 x S x S float32."""
        self._dataset = dataset
        self._prepare = prepare
        self._size = size
        self._augment = augment
        self._seed = seed

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        _, image, labels = self._dataset[key[1]]
        if self._augment is not None:
            image, labels = self._augment(image, labels, derive_seed(self._seed, *key))
        return {
            'images': torch.from_numpy(self._prepare(image)),
            'labels': _resized(labels, self._size),
        }


def _tensors(cached: CachedImage, size: Size) -> dict[str, Tensor]:
    return {'features': torch.from_numpy(cached.features), 'labels': _resized(cached.labels, size)}


def _resized(labels: np.ndarray, size: Size) -> Tensor:
    """Labels at a size (height, width), each the nearest pixel's."""
    if size is not None and labels.shape != size:
        labels = resize_labels(labels, *size)
    return torch.from_numpy(np.ascontiguousarray(labels))
