"""surgseg simulate: a bag of the virtual endoscope with its ground truth."""

import argparse
from pathlib import Path

from surgseg_ros.bags import BagWriter
from surgseg_ros.bags.stereo_bag import NAMESPACE, write_frame
from surgseg_ros.commands.argument_types import size, whole_number
from surgseg_ros.frames.foreign import say
from surgseg_ros.media.progress import progress
from surgseg_ros.simulation.looks import KINDS, LOOKS
from surgseg_ros.sources import SimulatorSource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument('out', type=Path, help='bag folder, or a file ending in .mcap or .db3')
    parser.add_argument(
        '--frames', type=whole_number(1), default=100, help='number of stereo frames'
    )
    parser.add_argument('--size', type=size, default='640x512', help='of one eye, px')
    parser.add_argument('--seed', type=int, default=0, help='same seed, same bag, bit for bit')
    parser.add_argument('--rate', type=float, default=10.0, help='frames per second')
    parser.add_argument(
        '--tools',
        type=whole_number(0),
        help='number of instruments; default 2, or as the look has',
    )
    parser.add_argument(
        '--look', choices=LOOKS, default='classic', help='surgery has the variety of real frames'
    )
    parser.add_argument(
        '--without',
        default='',
        metavar='KIND[+KIND...]',
        help=f'kinds of variety that the look leaves out, of {", ".join(KINDS)}',
    )
    parser.add_argument(
        '--articulated',
        action='store_true',
        help='real da Vinci wrists, whose joints move over their whole ranges',
    )
    parser.add_argument(
        '--kinematic-error',
        choices=('none', 'kit'),
        help='also write /PSM1/measured_cp, measured_js and jaw/measured_js of virtual arms: '
        'exact, or wrong by about 5 mm and 3.6 degrees as those of a real kit',
    )
    parser.add_argument('--storage', choices=('mcap', 'sqlite3'), help='default mcap')
    parser.add_argument('--namespace', default=NAMESPACE, help='topics lie below this')
    parser.add_argument('--overwrite', action='store_true', help='replace an existing bag')


def run(args: argparse.Namespace) -> int:
    """Render and write the frames."""
    width, height = args.size
    source = SimulatorSource(
        width=width,
        height=height,
        seed=args.seed,
        rate=args.rate,
        num_tools=args.tools,
        look=args.look,
        without=args.without,
        articulated=args.articulated,
        kinematics={'none': 'exact', 'kit': 'kit', None: ''}[args.kinematic_error],
        frames=args.frames,
    )
    with source, BagWriter(args.out, args.storage, args.overwrite) as writer:
        for frame in progress(source, source.count):
            write_frame(writer, frame, args.namespace)
    say(f'{args.out}: {source.describe()}, seed {args.seed}')
    return 0
