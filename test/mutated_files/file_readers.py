"""What is done with a file of each kind, as commands and nodes do it: reader(path, folder).

folder: where reading may write. Each raises ValueError or OSError in one sentence, or reads.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import cv2
import torch

from surgseg_ros.bags import BagReader, BagWriter
from surgseg_ros.bags.recovery import recover
from surgseg_ros.commands.destinations import Destinations
from surgseg_ros.datasets.coco import CocoInstances
from surgseg_ros.datasets.disparity_files import read_disparity
from surgseg_ros.datasets.folder import FolderLabels
from surgseg_ros.datasets.label_images import read_labels
from surgseg_ros.geometry.calibration_files import read_calibration
from surgseg_ros.geometry.dvrk_kinematics import read_arm
from surgseg_ros.geometry.registration_files import read_pairs
from surgseg_ros.media.image_files import read_grey, read_rgb
from surgseg_ros.media.video_reader import VideoReader
from surgseg_ros.metrics.coco_files import read_json
from surgseg_ros.metrics.instances import average_precision
from surgseg_ros.networks.card import read_card
from surgseg_ros.networks.checkpoints import identify, read
from surgseg_ros.sources import CsvSource, open_source
from surgseg_ros.training.recipe import read_recipe

cv2.setNumThreads(1)
torch.set_num_threads(1)
_MOST = 50  # frames or messages of a file


def _all(items: Iterable[object]) -> None:
    for _ in islice(items, _MOST):
        pass


def _weights(path: Path, folder: Path) -> None:
    """A whole network is told from its tensors, too, which takes a second."""
    read_card(path)
    if path.stem == 'whole':
        identify(path)
    else:
        read(path)


def _bag(path: Path, folder: Path) -> None:
    """All messages, the frames of both eyes, and what recovery makes of it."""
    failed: list[ValueError] = []
    with BagWriter(folder / 'saved.mcap', overwrite=True) as writer, suppress(ValueError):
        recover(path, writer, lambda sentence: None)
    try:
        with BagReader(path) as bag:
            _all(bag.messages())
    except ValueError as error:
        failed.append(error)
    with open_source(path) as source:
        _all(source)
    for error in failed:
        raise error


def _ros1(path: Path, folder: Path) -> None:
    with BagReader(path) as bag:
        _all(bag.messages())
    with open_source(path) as source:
        _all(source)


def _image(path: Path, folder: Path) -> None:
    """As a picture, a mask, class ids and disparities; refused where it can be none of them."""
    refusals: list[ValueError] = []
    readers: tuple[Callable[[Path], object], ...] = (
        read_rgb,
        read_grey,
        lambda path: read_labels(path, ['background', 'tool']),
        lambda path: read_labels(path, ['background', 'tool'], {(0, 0, 0): 0}),
        lambda path: read_disparity(path, 1.0),
    )
    for read_image in readers:
        try:
            read_image(path)
        except ValueError as error:
            refusals.append(error)
    if len(refusals) == len(readers):
        raise refusals[0]


def _list(path: Path, folder: Path) -> None:
    source = CsvSource(path, columns=('left', 'right', 'disparity'))
    places = Destinations(source, folder, {'disparity': '.png'}, source.count)
    for index, _ in enumerate(source):
        for place in places.paths(index).values():
            if not place.resolve().is_relative_to(folder.resolve()):
                raise AssertionError(f'{place} is outside')


def _calibration(path: Path, folder: Path) -> None:
    read_calibration(
        path, path.with_name('right.yaml') if path.suffix == '.yaml' else None, (320, 256)
    )


def _coco(path: Path, folder: Path) -> None:
    content = read_json(path)
    average_precision(content, [])
    dataset = CocoInstances(path.parent, 'any', path.parent, path)
    _all(dataset[index] for index in range(len(dataset)))


def _json(path: Path, folder: Path) -> None:
    readers: dict[str, Callable[[Path], object]] = {'pairs': read_pairs, 'arm': read_arm}
    readers[path.stem.split('_')[0]](path)


READERS: dict[str, Callable[[Path, Path], None]] = {
    'checkpoint': _weights,
    'safetensors': _weights,
    'mcap': _bag,
    'sqlite3': _bag,
    'bag folder': lambda path, folder: _bag(path.parent, folder),
    'ros1': _ros1,
    'calibration': _calibration,
    'recipe': lambda path, folder: read_recipe(path) and None,
    'coco': _coco,
    'json': _json,
    'classes': lambda path, folder: FolderLabels(path.parent) and None,
    'png': _image,
    'jpeg': _image,
    'tiff': _image,
    'npy': lambda path, folder: read_disparity(path, 1.0) is None,
    'video': lambda path, folder: _all(VideoReader(path)),
    'csv': _list,
}
