"""Results and truth as files of the same names in two folders, or as two files."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from surgseg_ros.datasets import InstanceSample, SegmentationSample, StereoSample
from surgseg_ros.datasets.base import contents, image_files
from surgseg_ros.datasets.disparity_files import SUFFIXES, read_disparity
from surgseg_ros.evaluation.evaluators.scared import DepthSample
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.results import InstanceResult, SemanticResult, StereoResult, mask_boxes
from surgseg_ros.media.image_files import read_as_stored, read_grey

Calibrations = Callable[[str], StereoCalibration | None]  # by the name of a frame


def paired_files(
    prediction: Path, truth: Path, suffixes: tuple[str, ...], what: str
) -> Iterator[tuple[str, Path, Path]]:
    """Name, predicted and true file of every true file, by name; two files are one pair.

    Folders may have folders of sequences, the same in both: SEQUENCE/FRAME.png. The suffix may
    differ. Raises ValueError where there is no file, or no prediction for one.
    """
    if truth.is_file():
        if not prediction.is_file():
            raise ValueError(f'{truth} is a file, {prediction} is none')
        yield truth.stem, prediction, truth
        return
    files = [
        file
        for file in (sorted(truth.rglob('*')) if truth.is_dir() else [])
        if file.suffix.lower() in suffixes and not file.name.startswith('.')
    ]
    if not files:
        raise ValueError(f'expected {what} in {truth}; {contents(truth)}')
    for file in files:
        name = file.relative_to(truth)
        same = (prediction / name.with_suffix(suffix) for suffix in (file.suffix, *suffixes))
        found = next((one for one in same if one.is_file()), None)
        if found is None:
            raise ValueError(f'{prediction} has no {name}, which is in {truth}')
        yield name.with_suffix('').as_posix(), found, file


def label_files(
    prediction: Path, truth: Path
) -> Iterator[tuple[SegmentationSample, SemanticResult]]:
    """Label images, a class id per pixel (255 unlabelled); ValueError if they do not fit."""
    for name, found, true in paired_files(prediction, truth, ('.png',), 'label images (PNG)'):
        labels = read_grey(true)
        sample = SegmentationSample(name, np.zeros((*labels.shape, 3), np.uint8), labels)
        yield sample, SemanticResult(read_grey(found))


def classes_in(places: Iterable[Path], num_classes: int | None = None) -> tuple[str, ...]:
    """Name the classes by the greatest id in label images (255 aside), or by their number.

    num_classes: class ids, the background included; one more if the labels have that id, so that
    the number of tools is also right. ValueError if they have a greater one.
    """
    greatest, where = 0, Path()
    for place in places:
        for file in [place] if place.is_file() else image_files(place, below=True):
            labels = read_grey(file)
            highest = int(labels[labels != 255].max(initial=0))
            greatest, where = max((greatest, where), (highest, file), key=lambda one: one[0])
    if num_classes is not None:
        if greatest > num_classes:
            raise ValueError(
                f'{where} has class id {greatest}, but --num-classes is {num_classes}'
            )
        greatest = max(greatest, num_classes - 1)
    return ('background', *(f'class {number}' for number in range(1, greatest + 1)))


def disparity_files(
    prediction: Path, truth: Path, scale: float, calibration: StereoCalibration | None = None
) -> Iterator[tuple[StereoSample, StereoResult]]:
    """Disparity as PNG of 16 bits (px times scale), float TIFF or npy; see read_disparity.

    A truth of 0 is unknown in every format.
    """
    for name, found, true in paired_files(prediction, truth, SUFFIXES, 'disparity files'):
        disparity = read_disparity(true, scale)
        disparity[disparity == 0] = np.nan
        black = np.zeros((*disparity.shape, 3), np.uint8)
        sample = StereoSample(name, black, black, disparity, calibration=calibration)
        yield sample, StereoResult(read_disparity(found, scale))


def depth_files(
    prediction: Path, truth: Path, scale: float, calibrations: Calibrations
) -> Iterator[tuple[DepthSample, StereoResult]]:
    """Disparity of the rectified pair, and true depth in mm in the original image (0 unknown)."""
    for name, found, true in paired_files(prediction, truth, SUFFIXES, 'depth files'):
        depth = read_disparity(true, scale) / 1000
        depth[depth <= 0] = np.nan
        calibration = calibrations(name)
        if calibration is None:
            raise ValueError(f'{name} has no calibration, which brings disparity back to depth')
        yield DepthSample(name, depth, calibration), StereoResult(read_disparity(found, scale))


def track_files(prediction: Path, truth: Path) -> Iterator[tuple[InstanceSample, InstanceResult]]:
    """Images whose values are track ids (PNG of 8 or 16 bits, 0 background), by order of name."""
    for name, found, true in paired_files(prediction, truth, ('.png',), 'images of track ids'):
        true_ids, true_masks = _tracks(true)
        ids, masks = _tracks(found)
        if masks.shape[1:] != true_masks.shape[1:]:
            raise ValueError(
                f'{name}: the truth is {_pixels(true_masks)}, the result {_pixels(masks)}'
            )
        image = np.zeros((*true_masks.shape[1:], 3), np.uint8)
        ones = [np.ones(len(one), np.int64) for one in (true_ids, ids)]
        yield (
            InstanceSample(name, image, ones[0], true_masks, track_ids=true_ids),
            InstanceResult(
                ones[1], np.ones(len(ids), np.float32), mask_boxes(masks), masks, track_ids=ids
            ),
        )


def _tracks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids N and masks N x H x W of an image of ids."""
    numbers = read_as_stored(path)
    if numbers.ndim != 2 or numbers.dtype not in (np.uint8, np.uint16):
        raise ValueError(f'{path} is no image of track ids: expected 8 or 16 bits, one channel')
    ids = np.setdiff1d(numbers, [0]).astype(np.int64)
    return ids, numbers == ids[:, None, None]


def _pixels(masks: np.ndarray) -> str:
    return f'{masks.shape[2]}x{masks.shape[1]} px'
