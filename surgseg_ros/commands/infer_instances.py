"""surgseg infer instances: instruments one by one in files, without ROS."""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from surgseg_ros import predictors
from surgseg_ros.commands.argument_types import whole_number
from surgseg_ros.commands.destinations import Destinations
from surgseg_ros.commands.infer_arguments import (
    BACKEND_OPTIONS,
    add_backend_arguments,
    add_input_arguments,
    add_overlay_arguments,
    check_fraction,
    check_overlay_arguments,
    given,
    is_list,
    least,
)
from surgseg_ros.commands.instance_outputs import (
    Detections,
    Found,
    Output,
    OverlayVideo,
    Pictures,
    annotation_ids,
)
from surgseg_ros.commands.source_arguments import source_of
from surgseg_ros.media.files import Writers
from surgseg_ros.media.progress import progress
from surgseg_ros.media.video import VideoFile
from surgseg_ros.networks.bundled import bundled_weights
from surgseg_ros.predictors.parts import PartsPredictor
from surgseg_ros.sources import DEFAULT_RATE, FrameSource, open_left
from surgseg_ros.tracking.instance_tracker import InstanceTracker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_input_arguments(parser)
    model = parser.add_argument_group('model')
    model.add_argument('--model', default='solo_mobilenet', choices=predictors.instance())
    model.add_argument(
        '--weights',
        type=Path,
        help='checkpoint; default that which comes with the package, if one does',
    )
    model.add_argument(
        '--class-names',
        nargs='+',
        metavar='NAME',
        help='by class id, background first, of weights that do not say them',
    )
    model.add_argument(
        '--score-threshold',
        type=float,
        default=0.3,
        help='of a class, from which something may be an instance (0.3)',
    )
    model.add_argument(
        '--final-threshold',
        type=float,
        help='of an instance, from which it '
        'counts (--score-threshold): SOLO lowers the scores of duplicates. For AP '
        'as `surgseg evaluate instances --weights` has it: 0.05, with a '
        '--score-threshold of 0.1 for SOLO and 0.05 for FASSST',
    )
    model.add_argument(
        '--max-instances', type=whole_number(1), default=100, help='per image, the best (100)'
    )
    model.add_argument(
        '--track',
        action='store_true',
        help='give instances track ids; the frames follow one another',
    )
    model.add_argument(
        '--parts-weights',
        type=Path,
        help='of an LWANet with classes shaft, wrist '
        'and clasper: also parts/, PNG, 1 shaft, 2 wrist, 3 jaw, 255 unknown part',
    )
    add_backend_arguments(model)
    output = parser.add_argument_group('output')
    output.add_argument(
        '--out',
        type=Path,
        help='folder for detections.json: COCO results with '
        'run-length encoded masks; image_id is the number of the frame from 1',
    )
    output.add_argument(
        '--image-ids',
        type=Path,
        metavar='JSON',
        help='COCO annotations whose '
        'images have the names of the frames; its ids become image_id and '
        'category_id',
    )
    add_overlay_arguments(output, 'the instances in colours over the image')


def run(args: argparse.Namespace) -> None:
    """Infer every frame and write what is asked for."""
    _check(args)
    predictor = _predictor(args)
    parts = _parts_predictor(args, predictor)
    columns = ('left',) if is_list(args) else None
    with ExitStack() as stack:
        source = stack.enter_context(source_of(args, open_left, root=args.root, columns=columns))
        count = least(source.count, args.frames)
        outputs = _outputs(args, source, predictor.class_names, count, stack)
        print(source.describe())
        start = time.monotonic()
        seen, classes = 0, Counter[int]()
        for found in progress(_found(args, predictor, parts, source), count):
            for output in outputs:
                output.take(found)
            classes.update(found.result.class_ids.tolist())
            seen += 1
        if not seen:
            raise ValueError(f'{args.source} has no frames')
    _summarise(args, seen, classes, predictor.class_names, time.monotonic() - start)


def _found(
    args: argparse.Namespace, predictor: Any, parts: PartsPredictor | None, source: FrameSource
) -> Iterator[Found]:
    tracker, rate = InstanceTracker(), source.rate or DEFAULT_RATE
    least_score = _final_threshold(args)
    for index, frame in enumerate(source.first(args.frames)):
        result = predictor.predict(frame.left).best(args.max_instances, least_score)
        if parts:
            result = parts.add_parts(frame.left, result)
        if args.track:
            ids = tracker.update(index / rate, result.class_ids, result.masks)
            result = replace(result, track_ids=ids)
        yield Found(index, frame.left, result)


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be before anything is opened."""
    check_overlay_arguments(args, bool(args.out))
    if args.parts_weights and not args.out:
        raise ValueError('--parts-weights needs --out, the folder for parts/')
    check_fraction(args, 'score_threshold', 'final_threshold')
    if args.out and find_spec('pycocotools') is None:
        raise ValueError('--out needs pycocotools, for its masks: pip install pycocotools')


def _predictor(args: argparse.Namespace) -> Any:
    options = given(args, 'weights', 'class_names', 'score_threshold', *BACKEND_OPTIONS)
    options.setdefault('weights', bundled_weights(args.model))
    predictor = predictors.create(args.model, **options)
    if hasattr(predictor, 'final_threshold'):
        predictor.final_threshold = _final_threshold(args)
    return predictor


def _final_threshold(args: argparse.Namespace) -> float:
    final = args.final_threshold
    return float(args.score_threshold if final is None else final)


def _parts_predictor(args: argparse.Namespace, predictor: Any) -> PartsPredictor | None:
    if not args.parts_weights:
        return None
    return PartsPredictor.from_weights(
        predictor, args.parts_weights, **given(args, *BACKEND_OPTIONS)
    )


def _outputs(
    args: argparse.Namespace,
    source: FrameSource,
    class_names: Sequence[str],
    count: int | None,
    stack: ExitStack,
) -> list[Output]:
    """What the arguments ask for, closed with the stack."""
    outputs: list[Output] = []
    if args.out:
        outputs.append(stack.enter_context(_detections(args, source, class_names)))
    kinds = [
        kind
        for kind, wanted in (('overlay', args.overlay), ('parts', args.parts_weights))
        if wanted
    ]
    if kinds:
        destinations = Destinations(source, args.out, dict.fromkeys(kinds, '.png'), count)
        writers = stack.enter_context(Writers(args.writers))
        outputs.append(Pictures(destinations, writers, args.overlay_opacity))
    if args.video:
        video = stack.enter_context(VideoFile(args.video, source.rate or DEFAULT_RATE))
        outputs.append(OverlayVideo(video, args.overlay_opacity))
    return outputs


def _detections(
    args: argparse.Namespace, source: FrameSource, class_names: Sequence[str]
) -> Detections:
    """Records with numbers of our own, or those of the annotations."""
    path = args.out / 'detections.json'
    if not args.image_ids:
        return Detections(path, lambda index: index + 1)
    ids = annotation_ids(args.image_ids)

    def image_id(index: int) -> int:
        name = source.frame_name(index)
        if name not in ids.images:
            raise ValueError(f'{args.image_ids} has no image {name}')
        return ids.images[name]

    return Detections(path, image_id, ids.of_classes(class_names))


def _summarise(
    args: argparse.Namespace,
    seen: int,
    classes: Counter[int],
    class_names: tuple[str, ...],
    seconds: float,
) -> None:
    places = ', '.join(str(path) for path in (args.out, args.video) if path)
    print(f'{places}: {seen} frames in {seconds:.1f} s; classes and their instances:')
    for class_id, count in sorted(classes.items()):
        print(f'{class_id:4} {class_names[class_id]:28}{count:6}')
