"""`surgseg datasets to-coco`: a dataset of instances in COCO's layout."""

import argparse
from pathlib import Path

from surgseg_ros.commands.dataset_arguments import (
    add_instance_dataset_arguments,
    open_instance_dataset,
)
from surgseg_ros.datasets.to_coco import write_coco


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


def run(args: argparse.Namespace) -> int:
    """Write the dataset and say where."""
    dataset = open_instance_dataset(args)
    for note in dataset.notes:
        print(note)
    print(f'{len(dataset)} images: {write_coco(dataset, args.out, args.split)}')
    return 0
