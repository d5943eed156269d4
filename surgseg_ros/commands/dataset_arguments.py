"""Datasets on the command line."""

import argparse
from pathlib import Path
from typing import Any

import yaml

from surgseg_ros.datasets import InstanceDataset, available, open_dataset


def add_instance_dataset_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add what open_instance_dataset needs."""
    parser.add_argument(
        '--dataset',
        choices=available('instances'),
        required=required,
        help='layout of the dataset',
    )
    parser.add_argument('--root', type=Path, required=required, help='folder of the dataset')
    parser.add_argument('--split', default='val', help='part of the dataset')
    parser.add_argument(
        '--option',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='option of the dataset, such as frames=50 or fold=1; may be repeated',
    )


def open_instance_dataset(args: argparse.Namespace) -> InstanceDataset:
    """Open the dataset that the arguments name; ValueError as open_dataset."""
    if not (args.dataset and args.root):
        raise ValueError('--dataset and --root are needed, too')
    options = dict(dataset_option(text) for text in args.option)
    return open_dataset(args.dataset, args.root, args.split, 'instances', **options)


def dataset_option(text: str) -> tuple[str, Any]:
    """NAME=VALUE as name and YAML's value; ValueError if it is none."""
    name, equals, value = text.partition('=')
    if not equals:
        raise ValueError(f'--option {text} is not of the form NAME=VALUE')
    return name, yaml.safe_load(value)
