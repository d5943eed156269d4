"""`surgseg evaluate bag`: a bag replayed through the real nodes, and one report."""

import argparse
import shlex
import sys
from pathlib import Path

from surgseg_ros.commands.judgement import Judgement
from surgseg_ros.frames.foreign import printable

HELP = 'a bag replayed through the real nodes of a pipeline: accuracy, latency, counts, a report'
PICTURE = 'the worst, the median and the best frame'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('bag', type=Path, help='images, camera_info and, to be judged, the truth')
    parser.add_argument('--pipeline', default='stereo', help='as of `surgseg up` (stereo)')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('out/evaluation'),
        help='folder of report.html and results.mcap, what the nodes published (out/evaluation)',
    )
    parser.add_argument('--rate', type=float, default=1.0, help='speed of playing (1)')
    parser.add_argument(
        '--lockstep',
        action='store_true',
        help='send the next pair once the disparity of the last has come: no frame is dropped',
    )
    parser.add_argument('--truth', type=Path, help='bag with the truth, if it is another one')
    parser.add_argument(
        'values',
        nargs='*',
        metavar='name:=value',
        help='arguments of the pipeline, before the options',
    )


def evaluate(args: argparse.Namespace) -> Judgement:
    """Replay, judge what was recorded, and write the report."""
    from surgseg_ros.commands.up import parse
    from surgseg_ros.evaluation import replay
    from surgseg_ros.evaluation.report import Section, write_report

    played = replay.replay(
        args.bag,
        args.pipeline,
        parse(args.values),
        args.out / 'results.mcap',
        args.rate,
        args.lockstep,
    )
    verdicts = replay.judge(played.results, args.truth or args.bag)
    nodes = Section(
        'Nodes',
        played.table(),
        ('age: from the receipt of a frame to its published outputs; dropped: a newer one came',),
    )
    judged = [
        Section(
            one.title,
            one.table,
            (f'{one.figures["frames"]} frames; {one.figures["definition"]}',)
            if one.figures
            else (f'not judged: {one.reason}',),
            one.pictures,
            {'frames': PICTURE},
        )
        for one in verdicts
    ]
    title = f'{args.pipeline} on {printable(args.bag.name)}'
    command = shlex.join(['surgseg', *sys.argv[1:]])
    write_report(args.out / 'report.html', title, command, [nodes, *judged])
    notes = [f'{one.title}: not judged: {one.reason}' for one in verdicts if one.reason]
    return Judgement(
        {
            'nodes': {name: dict(values) for name, values in played.nodes.items()},
            'accuracy': {one.title: one.figures for one in verdicts if one.figures},
        },
        played.table(),
        notes=(f'{args.out / "report.html"}', *notes),
        more=tuple(one.table for one in verdicts if one.table),
    )
