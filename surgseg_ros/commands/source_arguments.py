"""Arguments of every command that reads stereo frames from somewhere."""

import argparse
from collections.abc import Callable

from surgseg_ros.frames.stacking import STACKINGS
from surgseg_ros.sources import FrameSource, open_source


def add_source_arguments(parser: argparse.ArgumentParser, truth: bool = False) -> None:
    """Add the source and what may be said about it, with `truth` also where that is."""
    parser.add_argument(
        'source',
        help="'sim:frames=20', a bag, a stereo video, a folder with left/ and right/, "
        'LEFT,RIGHT, or a CSV list (left,right,...)',
    )
    parser.add_argument(
        '--calibration', help='file or folder, or left.yaml,right.yaml; replaces that of a bag'
    )
    parser.add_argument(
        '--rectified', action='store_true', help='the images are rectified already'
    )
    parser.add_argument(
        '--stacking',
        choices=tuple(STACKINGS),
        help='how one image of a video or of a topic holds both cameras',
    )
    parser.add_argument('--rate', type=float, help='frame rate of a video or of images, Hz')
    parser.add_argument('--left', help='topic of the left image in a bag')
    parser.add_argument('--right', help='topic of the right image in a bag')
    parser.add_argument('--left-info', help='topic of the left camera_info in a bag')
    parser.add_argument('--right-info', help='topic of the right camera_info in a bag')
    parser.add_argument(
        '--tolerance', type=float, help='largest difference of left and right stamps in a bag, ms'
    )
    if truth:
        parser.add_argument('--disparity', help='folder or file of true disparities of images')


def source_of(
    args: argparse.Namespace, opener: Callable[..., FrameSource] = open_source, **options: object
) -> FrameSource:
    """Open the source that the arguments name, with more options; raises as open_source does."""
    return opener(
        args.source,
        args.calibration,
        stacking=args.stacking,
        rate=args.rate,
        disparity=getattr(args, 'disparity', None),
        left=args.left,
        right=args.right,
        left_info=args.left_info,
        right_info=args.right_info,
        rectified=args.rectified or None,
        tolerance=None if args.tolerance is None else round(args.tolerance * 1e6),
        **options,
    )
