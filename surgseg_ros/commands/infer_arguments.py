"""What the tasks of `surgseg infer` have in common on the command line."""

import argparse
from pathlib import Path
from typing import Any

from surgseg_ros import backends
from surgseg_ros.commands.argument_types import whole_number
from surgseg_ros.commands.source_arguments import add_source_arguments
from surgseg_ros.media.video import SUFFIXES as VIDEO_SUFFIXES

BACKEND_OPTIONS = ('backend', 'device', 'precision', 'threads')


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source and how much of it."""
    add_source_arguments(parser)
    parser.add_argument(
        '--root', type=Path, help="folder of a CSV list's images; default: that of the list"
    )
    parser.add_argument('--frames', type=whole_number(1), help='largest number of frames')


def add_backend_arguments(group: argparse._ArgumentGroup) -> None:
    """Add BACKEND_OPTIONS."""
    group.add_argument('--backend', choices=('auto', *backends.available()))
    group.add_argument('--device', choices=('auto', *backends.DEVICES))
    group.add_argument('--precision', choices=('auto', *backends.PRECISIONS))
    group.add_argument('--threads', type=whole_number(1), help='CPU threads of the network')


def add_overlay_arguments(group: argparse._ArgumentGroup, shown: str) -> None:
    """Add pictures and videos of what is `shown` over the image, and how many threads write."""
    group.add_argument('--overlay', action='store_true', help=f'also write overlay/: {shown}')
    group.add_argument(
        '--overlay-opacity', type=float, default=0.5, help='opacity of the colours (0.5)'
    )
    group.add_argument(
        '--video', type=Path, metavar='MP4', help='also write the overlays as a video'
    )
    add_writers_argument(group)


def check_overlay_arguments(args: argparse.Namespace, writes_files: bool) -> None:
    """Refuse what cannot be before anything is opened."""
    if not (writes_files or args.video):
        raise ValueError('nothing to write: give --out or --video')
    if args.out and args.out.suffix.lower() in VIDEO_SUFFIXES:
        raise ValueError(f'--out is a folder for files; for a video say --video {args.out}')
    if args.overlay and not args.out:
        raise ValueError('--overlay needs --out, the folder for the pictures')
    check_fraction(args, 'overlay_opacity')
    if args.video and args.video.resolve() == Path(args.source).resolve():
        raise ValueError('the source and --video must be different files')


def check_fraction(args: argparse.Namespace, *names: str) -> None:
    """Refuse what is given and not from 0 to 1."""
    for name in names:
        value = getattr(args, name)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f'--{name.replace("_", "-")} is {value:g}, expected 0 to 1')


def add_writers_argument(group: argparse._ArgumentGroup) -> None:
    """Add how many threads write."""
    group.add_argument(
        '--writers', type=whole_number(1), default=2, help='threads that write files (2)'
    )


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the arguments that were given, as options of a predictor."""
    values = {name: getattr(args, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def is_list(args: argparse.Namespace) -> bool:
    """Whether the source is a CSV list, which may say what is written where."""
    return Path(args.source).suffix.lower() == '.csv'


def least(*counts: int | None) -> int | None:
    """Smallest of the numbers of frames that are known, None if none is."""
    return min((count for count in counts if count is not None), default=None)
