"""`surgseg replay BAG`: endoscope_node on a bag."""

import argparse
import os

from surgseg_ros.frames.stacking import STACKINGS
from surgseg_ros.processes.pipelines import Pipeline
from surgseg_ros.processes.supervisor import ros_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('bag', help='bag (mcap, sqlite3), or any other source')
    parser.add_argument(
        '--rate', type=float, default=1.0, help='speed of playback; 2 is twice as fast'
    )
    parser.add_argument('--loop', action='store_true', help='start again at the end')
    parser.add_argument('--clock', action='store_true', help='publish /clock with the stamps')
    parser.add_argument(
        '--lockstep',
        action='store_true',
        help='send the next pair only after the disparity of the last',
    )
    parser.add_argument(
        '--subscribers',
        type=int,
        default=1,
        help='subscribers of the left image to wait for before the first frame',
    )
    parser.add_argument('--left', default='', help='topic of the left image, of a bag')
    parser.add_argument('--right', default='', help='topic of the right image, of a bag')
    parser.add_argument('--left-info', default='', help='topic of the left camera_info')
    parser.add_argument('--right-info', default='', help='topic of the right camera_info')
    parser.add_argument(
        '--stacking',
        default='auto',
        choices=('auto', *STACKINGS),
        help='how one image of a video or of a topic holds both cameras',
    )
    parser.add_argument(
        '--rectified', action='store_true', help='the images are rectified already'
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=-1.0,
        help='largest difference of left and right stamps, s; 0: equal, -1: half a period',
    )
    parser.add_argument(
        '--calibration', default='', help='calibration file, for a source without one'
    )
    parser.add_argument('--namespace', default='endoscope', help='topics lie below this')


def run(args: argparse.Namespace) -> int:
    """Publish until the bag ends or Ctrl-C."""
    from surgseg_ros.nodes import endoscope_node
    from surgseg_ros.nodes.managed_node import run as run_node

    os.environ.update(Pipeline.environment())  # else best effort loses every large image
    parameters = {
        'source': args.bag,
        'rate': args.rate,
        'loop': args.loop,
        'clock': args.clock,
        'lockstep': args.lockstep,
        'calibration': args.calibration,
        'subscribers': args.subscribers,
        'left': args.left,
        'right': args.right,
        'left_info': args.left_info,
        'right_info': args.right_info,
        'stacking': args.stacking,
        'rectified': args.rectified,
        'tolerance': args.tolerance,
    }
    return run_node(
        endoscope_node.EndoscopeNode, ['replay', *ros_arguments(parameters, args.namespace)]
    )
