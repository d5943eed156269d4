"""`surgseg evaluate TASK`: recorded results against ground truth."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from surgseg_ros.evaluation import stereo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    tasks = parser.add_subparsers(dest='task', required=True)
    task = tasks.add_parser('stereo', help='DisparityImage in a bag')
    task.add_argument('results', type=Path, help='bag with recorded disparity')
    task.add_argument('--truth', type=Path, help='bag with ground truth, if it is another one')
    task.add_argument('--topic', default='/endoscope/disparity')
    task.add_argument('--json', type=Path, help='write the figures into this file, too')


def run(args: argparse.Namespace) -> int:
    """Print a table of metrics."""
    metrics = stereo.evaluate(args.results, args.truth, args.topic)
    print(stereo.table(metrics))
    if args.json:
        args.json.write_text(json.dumps({k: asdict(v) for k, v in metrics.items()}, indent=2))
    return 0
