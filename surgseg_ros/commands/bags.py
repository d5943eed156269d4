"""surgseg bags: look into ROS 2 bags, convert, recover, or make them of videos and images."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from surgseg_ros.bags import BagError, BagReader, BagWriter
from surgseg_ros.bags.recovery import copy_messages, recover
from surgseg_ros.bags.stereo_bag import NAMESPACE, write_frame
from surgseg_ros.commands.argument_types import whole_number
from surgseg_ros.commands.source_arguments import add_source_arguments, source_of
from surgseg_ros.frames.foreign import printable, say, warn
from surgseg_ros.geometry.calibration_files import write_camera_info
from surgseg_ros.media.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions info, convert, recover, pack and calibration."""
    actions = parser.add_subparsers(dest='action', required=True)

    info = actions.add_parser('info', help='topics, types, counts and duration')
    info.add_argument('bag', type=Path, help='bag folder, or a bare .mcap or .db3 file')
    info.set_defaults(action=_info)

    convert = actions.add_parser('convert', help='copy a bag into another storage, newest format')
    convert.add_argument('bag', type=Path, help='bag folder, or a bare .mcap or .db3 file')
    convert.add_argument('--topics', nargs='+', help='only these topics')
    _add_output(convert)
    convert.set_defaults(action=_convert)

    recover = actions.add_parser(
        'recover', help='save a recording that was interrupted or damaged'
    )
    recover.add_argument('bag', type=Path, help='the bag as it should be called, or its remains')
    _add_output(recover)
    recover.set_defaults(action=_recover)

    pack = actions.add_parser('pack', help='put any source of stereo frames into a bag')
    add_source_arguments(pack, truth=True)
    pack.add_argument('--frames', type=whole_number(1), help='largest number of frames')
    pack.add_argument('--namespace', default=NAMESPACE, help='topics lie below this')
    _add_output(pack)
    pack.set_defaults(action=_pack)

    calibration = actions.add_parser(
        'calibration', help='write the camera_info of a bag, or of any source, as YAML'
    )
    add_source_arguments(calibration)
    calibration.add_argument('folder', type=Path, help='for left.yaml and right.yaml')
    calibration.set_defaults(action=_calibration)


def run(args: argparse.Namespace) -> int:
    """Do what was chosen."""
    args.action(args)
    return 0


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('out', type=Path, help='bag folder, or a file ending in .mcap or .db3')
    parser.add_argument('--storage', choices=('mcap', 'sqlite3'), help='default mcap')
    parser.add_argument('--overwrite', action='store_true', help='replace an existing bag')


def _info(args: argparse.Namespace) -> None:
    with BagReader(args.bag) as bag:
        count = sum(topic.message_count for topic in bag.topics.values())
        seconds = (bag.end - bag.start) / 1e9
        start = datetime.fromtimestamp(bag.start / 1e9, UTC)
        say(f'{bag.path}: {count} messages, {seconds:.3f} s from {start:%F %T} UTC')
        for name, topic in bag.topics.items():
            latched = ', latched' if topic.latched else ''
            words = f'{printable(name)}  {printable(topic.type_name)}{latched}'
            say(f'{topic.message_count:8d}  {words}')


def _convert(args: argparse.Namespace) -> None:
    with BagReader(args.bag) as bag, _writer(args) as writer:
        unknown = set(args.topics or ()) - bag.topics.keys()
        if unknown:
            names = ', '.join(map(printable, sorted(unknown)))
            raise BagError(f'{bag.path} has no topic {names}')
        copy_messages(bag, args.topics or list(bag.topics), writer, warn)
    say(f'{args.out}: {writer.count} messages')


def _recover(args: argparse.Namespace) -> None:
    with _writer(args) as writer:
        recover(args.bag, writer, warn)
    say(f'{args.out}: {writer.count} messages')


def _writer(args: argparse.Namespace) -> BagWriter:
    return BagWriter(args.out, args.storage, args.overwrite)


def _pack(args: argparse.Namespace) -> None:
    with source_of(args) as source, _writer(args) as writer:
        for frame in progress(source.first(args.frames), args.frames or source.count):
            write_frame(writer, frame, args.namespace)
    say(f'{args.out}: {writer.count} messages of {source.describe()}')


def _calibration(args: argparse.Namespace) -> None:
    with source_of(args) as source:
        if source.calibration is None:
            raise ValueError(f'{source.name} has no calibration')
        left, right = write_camera_info(source.calibration, args.folder)
    say(f'{left}, {right}: calibration of {source.describe()}')
