"""surgseg infer semantic: class of every pixel of files, without ROS."""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros import predictors
from surgseg_ros.bundled import bundled_weights
from surgseg_ros.commands.argument_types import whole_number
from surgseg_ros.commands.destinations import Destinations
from surgseg_ros.commands.infer_arguments import (
    BACKEND_OPTIONS,
    add_backend_arguments,
    add_input_arguments,
    add_overlay_arguments,
    check_overlay_arguments,
    given,
    is_list,
    least,
)
from surgseg_ros.commands.semantic_outputs import Files, Labelled, Output, OverlayVideo
from surgseg_ros.commands.source_arguments import source_of
from surgseg_ros.files import Writers
from surgseg_ros.progress import progress
from surgseg_ros.sources import DEFAULT_RATE, FrameSource, open_left
from surgseg_ros.video import VideoFile

_SAM_OPTIONS = ('sam_weights', 'classes', 'quality_threshold', 'presence_threshold',
                'encode_every', 'encoder_size')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_input_arguments(parser)
    model = parser.add_argument_group('model')
    model.add_argument('--model', default='lwanet', choices=predictors.semantic())
    model.add_argument('--weights', type=Path,
                       help='checkpoint; default that which comes with the package')
    model.add_argument('--class-names', nargs='+', metavar='NAME',
                       help='by class id, background first, of weights that do not say them')
    add_backend_arguments(model)
    sam = parser.add_argument_group('surgicalsam')
    sam.add_argument('--sam-weights', type=Path, help='the SAM checkpoint')
    sam.add_argument('--classes', type=whole_number(1), nargs='+', help='ids to look for (all)')
    sam.add_argument('--quality-threshold', type=float, help='of masks that count')
    sam.add_argument('--presence-threshold', type=float, help='of classes that count')
    sam.add_argument('--encode-every', type=whole_number(1),
                     help='frames that share the features of one (1)')
    sam.add_argument('--encoder-size', type=whole_number(1), metavar='PX',
                     help='of the image that the encoder sees; smaller is faster')
    output = parser.add_argument_group('output')
    output.add_argument('--out', type=Path, help='folder for segmentation/: PNG, class id per '
                        'pixel, 255 unlabelled; a CSV list says itself what is written where')
    add_overlay_arguments(output, 'the classes in colours over the image')


def run(args: argparse.Namespace) -> None:
    """Infer every frame and write what is asked for."""
    _check(args)
    predictor = _predictor(args)
    with ExitStack() as stack:
        source = stack.enter_context(_source(args))
        frames = source.first(args.frames)
        count = least(source.count, args.frames)
        outputs = _outputs(args, source, count, stack)
        print(source.describe())
        start = time.monotonic()
        pixels: list[np.ndarray] = []   # per frame, by class id
        for index, frame in enumerate(progress(frames, count)):
            labelled = Labelled(index, frame.left, predictor.predict(frame.left))
            pixels.append(np.bincount(labelled.result.labels.ravel(), minlength=256))
            for output in outputs:
                output.take(labelled)
    _summarise(args, pixels, predictor.class_names, time.monotonic() - start)


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be before anything is opened."""
    check_overlay_arguments(args, _writes_files(args))
    if args.model != 'surgicalsam' and (wrong := given(args, *_SAM_OPTIONS)):
        option = next(iter(wrong)).replace('_', '-')
        raise ValueError(f'--{option} is for --model surgicalsam, not {args.model}')


def _writes_files(args: argparse.Namespace) -> bool:
    return bool(args.out or is_list(args) and not args.video)


def _predictor(args: argparse.Namespace) -> Any:
    options = given(args, 'weights', 'class_names', *_SAM_OPTIONS, *BACKEND_OPTIONS)
    options.setdefault('weights', bundled_weights(args.model))
    return predictors.create(args.model, **options)


def _source(args: argparse.Namespace) -> FrameSource:
    columns = None
    if is_list(args):
        columns = ('left', *(['segmentation'] if _writes_files(args) else []))
    return source_of(args, open_left, root=args.root, columns=columns)


def _outputs(args: argparse.Namespace, source: FrameSource, count: int | None,
             stack: ExitStack) -> list[Output]:
    """What the arguments ask for, closed with the stack."""
    outputs: list[Output] = []
    if _writes_files(args):
        kinds = ('segmentation', *(['overlay'] if args.overlay else []))
        destinations = Destinations(source, args.out, dict.fromkeys(kinds, '.png'), count)
        writers = stack.enter_context(Writers(args.writers))
        outputs.append(Files(destinations, writers, args.overlay_opacity))
    if args.video:
        video = stack.enter_context(VideoFile(args.video, source.rate or DEFAULT_RATE))
        outputs.append(OverlayVideo(video, args.overlay_opacity))
    return outputs


def _summarise(args: argparse.Namespace, pixels: list[np.ndarray], class_names: tuple[str, ...],
               seconds: float) -> None:
    if not pixels:
        raise ValueError(f'{args.source} has no frames')
    where = args.out or (Path(args.source).parent if _writes_files(args) else None)
    places = ', '.join(str(path) for path in (where, args.video) if path)
    print(f'{places}: {len(pixels)} frames in {seconds:.1f} s; class ids and their share:')
    shares = np.sum(pixels, axis=0) / np.sum(pixels)
    names = {**dict(enumerate(class_names)), 255: 'unlabelled'}
    for index, name in names.items():
        if index < len(class_names) or shares[index]:
            print(f'{index:4} {name:28}{100 * shares[index]:6.2f} %')
