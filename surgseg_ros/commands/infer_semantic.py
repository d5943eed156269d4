"""surgseg infer semantic: class of every pixel of files, without ROS."""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from surgseg_ros.commands.destinations import Destinations
from surgseg_ros.commands.infer_arguments import (
    add_input_arguments,
    add_overlay_arguments,
    check_overlay_arguments,
    is_list,
    least,
)
from surgseg_ros.commands.semantic_arguments import add_semantic_arguments, semantic_settings
from surgseg_ros.commands.semantic_outputs import Files, Labelled, OverlayVideo, SemanticOutput
from surgseg_ros.commands.source_arguments import source_of
from surgseg_ros.frames.foreign import say
from surgseg_ros.media.files import Writers
from surgseg_ros.media.progress import progress
from surgseg_ros.media.video import VideoFile
from surgseg_ros.perception.semantic import SemanticStep
from surgseg_ros.sources import DEFAULT_RATE, FrameSource, open_left


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_input_arguments(parser)
    add_semantic_arguments(parser)
    output = parser.add_argument_group('output')
    output.add_argument(
        '--out',
        type=Path,
        help='folder for segmentation/: PNG, class id per '
        'pixel, 255 unlabelled; a CSV list states the output files itself',
    )
    add_overlay_arguments(output, 'the classes in colours over the image')


def run(args: argparse.Namespace) -> None:
    """Infer every frame and write what is asked for."""
    check_overlay_arguments(args, _writes_files(args))
    step = SemanticStep(semantic_settings(args))
    with ExitStack() as stack:
        source = stack.enter_context(_source(args))
        frames = source.first(args.frames)
        count = least(source.count, args.frames)
        outputs = _outputs(args, source, count, stack)
        say(source.describe())
        start = time.monotonic()
        pixels: list[np.ndarray] = []  # per frame, by class id
        for index, frame in enumerate(progress(frames, count)):
            labelled = Labelled(index, frame.left, step(frame))
            pixels.append(np.bincount(labelled.result.labels.ravel(), minlength=256))
            for output in outputs:
                output.take(labelled)
    _summarise(args, pixels, step.class_names, time.monotonic() - start)


def _writes_files(args: argparse.Namespace) -> bool:
    return bool(args.out or is_list(args) and not args.video)


def _source(args: argparse.Namespace) -> FrameSource:
    columns = None
    if is_list(args):
        columns = ('left', *(['segmentation'] if _writes_files(args) else []))
    return source_of(args, open_left, root=args.root, columns=columns)


def _outputs(
    args: argparse.Namespace, source: FrameSource, count: int | None, stack: ExitStack
) -> list[SemanticOutput]:
    """What the arguments ask for, closed with the stack."""
    outputs: list[SemanticOutput] = []
    if _writes_files(args):
        kinds = ('segmentation', *(['overlay'] if args.overlay else []))
        destinations = Destinations(source, args.out, dict.fromkeys(kinds, '.png'), count)
        writers = stack.enter_context(Writers(args.writers))
        outputs.append(Files(destinations, writers, args.overlay_opacity))
    if args.video:
        video = stack.enter_context(VideoFile(args.video, source.rate or DEFAULT_RATE))
        outputs.append(OverlayVideo(video, args.overlay_opacity))
    return outputs


def _summarise(
    args: argparse.Namespace,
    pixels: list[np.ndarray],
    class_names: tuple[str, ...],
    seconds: float,
) -> None:
    if not pixels:
        raise ValueError(f'{args.source} has no frames')
    where = args.out or (Path(args.source).parent if _writes_files(args) else None)
    places = ', '.join(str(path) for path in (where, args.video) if path)
    say(f'{places}: {len(pixels)} frames in {seconds:.1f} s; class ids and their share:')
    shares = np.sum(pixels, axis=0) / np.sum(pixels)
    names = {**dict(enumerate(class_names)), 255: 'unlabelled'}
    for index, name in names.items():
        if index < len(class_names) or shares[index]:
            say(f'{index:4} {name:28}{100 * shares[index]:6.2f} %')
