"""`surgseg ablate CONFIG`: train one recipe in several variants and seeds, and compare them."""

import argparse

from surgseg_ros.evaluation import ibr
from surgseg_ros.frames.foreign import say
from surgseg_ros.training import ablation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    ablation.add_arguments(parser)
    parser.add_argument(
        '--table',
        choices=('metrics', 'classes'),
        default='metrics',
        help='a column per metric that the file names; or, of surgicalsam, one per class, '
        'ordered by how often the classes occur in training',
    )


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet, and print the table."""
    compare = ibr.run if args.table == 'classes' else ablation.run
    say(*compare(args.config, ablation.folder(args), args.overrides).split('\n'))
    return 0
