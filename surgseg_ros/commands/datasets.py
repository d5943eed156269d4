"""`surgseg datasets`: what is in a folder of data, and datasets in COCO's layout."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from surgseg_ros.commands.dataset_arguments import (
    add_instance_dataset_arguments,
    dataset_option,
    open_instance_dataset,
)
from surgseg_ros.datasets import SegmentationDataset, available, open_dataset
from surgseg_ros.datasets.to_coco import write_coco
from surgseg_ros.frames.foreign import say
from surgseg_ros.media import pictures
from surgseg_ros.media.files import whole_file
from surgseg_ros.media.progress import progress

_SHOWN = 3  # pictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest='action', required=True)
    action = actions.add_parser('to-coco', help='write images and annotations as COCO has them')
    add_instance_dataset_arguments(action)
    action.add_argument(
        '--out',
        type=Path,
        required=True,
        help='folder for <split>/*.png and annotations/instances_<split>.json',
    )
    action.set_defaults(act=_to_coco)
    action = actions.add_parser(
        'check', help='read every image and label of a dataset, and say what was found'
    )
    action.add_argument('root', type=Path, help='folder with images/ and labels/, say')
    action.add_argument(
        '--dataset', choices=available(), default='folder', help='layout of the dataset (folder)'
    )
    action.add_argument(
        '--split', nargs='+', default=['train', 'val'], help='parts of the dataset'
    )
    action.add_argument(
        '--option',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='option of the dataset, such as classes=[background, grasper]; may be repeated',
    )
    action.add_argument(
        '--out', type=Path, help='folder for three pictures of each split (default: none)'
    )
    action.set_defaults(act=_check)


def run(args: argparse.Namespace) -> int:
    """Do what is asked for."""
    args.act(args)
    return 0


def _to_coco(args: argparse.Namespace) -> None:
    dataset = open_instance_dataset(args)
    for note in dataset.notes:
        say(note)
    say(f'{len(dataset)} images: {write_coco(dataset, args.out, args.split)}')


def _check(args: argparse.Namespace) -> None:
    options: dict[str, Any] = dict(dataset_option(text) for text in args.option)
    for split in args.split:
        dataset = open_dataset(args.dataset, args.root, split, **options)
        counts = _counts(dataset)
        total = max(int(counts.sum()), 1)
        say(f'{split}: {len(dataset)} images')
        for number, name in enumerate([*dataset.class_names, 'unlabelled']):
            pixels, images = counts[:, number], np.count_nonzero(counts[:, number])
            share = 100 * pixels.sum() / total
            say(f'  {name:28}{share:8.2f} % of the pixels, in {images} images')
        if args.out:
            for index in np.linspace(0, len(dataset) - 1, min(_SHOWN, len(dataset))).astype(int):
                say(f'  {_show(dataset, int(index), args.out, split)}')


def _counts(dataset: SegmentationDataset) -> np.ndarray:
    """Pixels of every image (rows) and class (columns, the last unlabelled); reads all of it."""
    classes = len(dataset.class_names)
    counts = np.zeros((len(dataset), classes + 1), np.int64)
    for index in progress(range(len(dataset)), len(dataset)):
        labels = np.minimum(dataset[index].labels, classes)
        counts[index] = np.bincount(labels.ravel(), minlength=classes + 1)
    return counts


def _show(dataset: SegmentationDataset, index: int, folder: Path, split: str) -> Path:
    """Write an image beside its labels; where."""
    name, image, labels = dataset[index]
    halves: Sequence[np.ndarray] = (
        pictures.caption(image.copy(), name),
        pictures.overlay_classes(image, labels, dataset.class_names, 0.5),
    )
    path = folder / f'{split}_{name.replace("/", "_")}.png'
    with whole_file(path) as partial:
        cv2.imwrite(str(partial), cv2.cvtColor(np.hstack(halves), cv2.COLOR_RGB2BGR))
    return path
