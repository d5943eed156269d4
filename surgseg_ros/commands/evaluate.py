"""`surgseg evaluate TASK`: results against ground truth."""

import argparse
import json
from pathlib import Path

import cv2

from surgseg_ros.commands import (
    evaluate_bag,
    evaluate_instances,
    evaluate_pose,
    evaluate_segmentation,
    evaluate_stereo,
    evaluate_tracking,
)
from surgseg_ros.commands.judgement import Judgement
from surgseg_ros.frames.foreign import say
from surgseg_ros.media.files import whole_file

_TASKS = {
    'stereo': (evaluate_stereo, ()),
    'segmentation': (evaluate_segmentation, ('semantic',)),
    'instances': (evaluate_instances, ()),
    'tracking': (evaluate_tracking, ()),
    'pose': (evaluate_pose, ()),
    'bag': (evaluate_bag, ()),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    tasks = parser.add_subparsers(dest='task', required=True)
    for name, (task, aliases) in _TASKS.items():
        one = tasks.add_parser(name, aliases=aliases, help=task.HELP)
        task.add_arguments(one)
        output = one.add_argument_group('output')
        for kind, what in (
            ('json', 'write the figures into this file, too'),
            ('csv', 'write the table, a line per row with its protocol'),
            ('latex', 'write the table as a tabular of booktabs'),
            (
                'picture',
                'the worst, the median and the best frame as PNG, where there are pictures',
            ),
        ):
            output.add_argument(f'--{kind}', type=Path, metavar='FILE', help=what)
        one.set_defaults(evaluate=task.evaluate)


def run(args: argparse.Namespace) -> int:
    """Print a table of metrics, and what it means."""
    judgement: Judgement = args.evaluate(args)
    for note in judgement.notes:
        say(note)
    tables = (table.text() for table in (judgement.table, *judgement.more))
    say(*'\n\n'.join(tables).split('\n'))
    _write(args.json, json.dumps(judgement.figures, indent=2))
    _write(args.csv, judgement.table.csv())
    _write(args.latex, judgement.table.latex())
    if args.picture and 'frames' in judgement.pictures:
        picture = cv2.cvtColor(judgement.pictures['frames'], cv2.COLOR_RGB2BGR)
        with whole_file(args.picture) as partial:
            cv2.imwrite(str(partial), picture)
    return 0


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        with whole_file(path) as partial:
            partial.write_text(text)
