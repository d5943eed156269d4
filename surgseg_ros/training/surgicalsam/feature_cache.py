"""SAM features of every image in its augmented versions, kept on disk: no step runs the encoder.

SurgicalSAM encodes each image once as it is (version 0) and in 40 augmented versions, and takes
one version per epoch (`version_of`). One file holds one version of one image: its features
64 x 64 x 256 in float16 (2 MiB, half of what the authors store; a value is off by at most
2^-11 of itself), the augmented labels, and the class embeddings of the classes in them. Version 0
of the 1639 training images of EndoVis 2018 takes 3.4 GB, all 41 versions 141 GB.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from surgseg_ros.datasets import UNLABELLED, SegmentationDataset, SegmentationSample
from surgseg_ros.media.files import below, whole_file
from surgseg_ros.media.progress import progress
from surgseg_ros.training.augmentation import Augmentation, make_augmentation, surgicalsam_recipe
from surgseg_ros.training.determinism import derive_seed
from surgseg_ros.training.surgicalsam.class_embeddings import class_embeddings, foreground_cells

VERSIONS = 40  # augmented ones

Encode = Callable[[np.ndarray], Tensor]


def version_of(epoch: int, versions: int = VERSIONS) -> int:
    """Which version an epoch trains on: 0 in even epochs, else 1, 2, ... versions, 1, 2, ..."""
    return 0 if epoch % 2 == 0 else int((epoch % (2 * versions) + 1) / 2)


@dataclass(frozen=True)
class CachedImage:
    """One version of one image.

    features: 64 x 64 x 256 float16. labels: HxW uint8. class_ids: the K classes in them, int64,
    ascending. class_embeddings: K x 256 float32.
    """

    features: np.ndarray
    labels: np.ndarray
    class_ids: np.ndarray
    class_embeddings: np.ndarray


class FeatureCache:
    """The cached versions of a dataset's images, in a folder of one encoder.

    fill() makes what is missing. A file's name has a digest of its image and labels, so that a
    changed image is encoded again; the folder is the caller's to choose by `weights_digest`.
    Files appear complete, so that an interrupted run can continue.
    """

    def __init__(self, folder: Path, dataset: SegmentationDataset) -> None:
        self._folder = folder
        self._dataset = dataset
        self._digests: list[str] = []

    def __len__(self) -> int:
        """Number of images."""
        return len(self._dataset)

    def fill(self, encode: Encode, versions: Iterable[int] = (0,)) -> None:
        """Encode what is not there yet, version 0 included, under a progress bar.

        encode: HxWx3 uint8 RGB -> features 64 x 64 x 256, on any device.
        """
        wanted = sorted({0, *versions})
        self._digests = []
        for index in progress(range(len(self)), len(self), unit='images of features'):
            sample = self._dataset[index]
            self._digests.append(digest(sample.image, sample.labels))
            for version in wanted:
                if not self._path(index, version).exists():
                    self._write(index, version, sample, encode)

    def read(self, index: int, version: int = 0) -> CachedImage:
        """Read one version of image number index; ValueError if fill() has not made it."""
        path = self._path(index, version)
        try:
            with np.load(path) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except FileNotFoundError as error:
            raise ValueError(f'{path} is gone; start again, and it is made again') from error
        labels = cv2.imdecode(arrays.pop('labels_png'), cv2.IMREAD_GRAYSCALE)
        return CachedImage(labels=np.asarray(labels), **arrays)

    def class_ids(self, index: int) -> list[int]:
        """Classes in image number index, unaugmented, ascending."""
        with np.load(self._path(index, 0)) as stored:
            return list(map(int, stored['class_ids']))

    def _path(self, index: int, version: int) -> Path:
        if index >= len(self._digests):
            raise ValueError(f'image {index} is not cached: call fill() first')
        name = f'{self._dataset.name(index)}.{self._digests[index]}.npz'
        return below(self._folder / f'{version:02d}', name)

    def _write(self, index: int, version: int, sample: SegmentationSample, encode: Encode) -> None:
        _, image, labels = sample
        if version:
            seed = derive_seed(version, int(self._digests[index], 16))
            image, labels = _augmentation(version, labels.shape)(image, labels, seed)
        features = encode(image)
        class_ids = np.setdiff1d(labels, (0, UNLABELLED)).astype(np.int64)
        masks = torch.from_numpy(labels == class_ids[:, None, None]).to(features.device)
        embeddings = class_embeddings(features[None], foreground_cells(masks, len(features)))
        with whole_file(self._path(index, version)) as partial:
            np.savez(
                partial,
                features=features.half().cpu().numpy(),
                labels_png=cv2.imencode('.png', labels)[1],
                class_ids=class_ids,
                class_embeddings=embeddings.cpu().numpy(),
            )


@cache
def _augmentation(version: int, size: tuple[int, int]) -> Augmentation:
    """The authors' changes to images of a size (height, width) for one version."""
    return make_augmentation(surgicalsam_recipe(version), size)


def digest(*arrays: np.ndarray) -> str:
    """Sixteen hexadecimal digits that stand for these values."""
    value = hashlib.blake2b(digest_size=8)
    for array in arrays:
        value.update(np.ascontiguousarray(array).data)
    return value.hexdigest()


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """The same for the tensors of a network, by key."""
    return digest(
        *(
            x
            for key in sorted(tensors)
            for x in (np.frombuffer(key.encode(), np.uint8), tensors[key].numpy())
        )
    )
