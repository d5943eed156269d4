"""surgseg infer instances: instruments one by one in files, without ROS."""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from surgseg_ros.commands.destinations import Destinations
from surgseg_ros.commands.infer_arguments import (
    add_input_arguments,
    add_overlay_arguments,
    check_overlay_arguments,
    is_list,
    least,
)
from surgseg_ros.commands.instance_outputs import (
    Detections,
    Found,
    InstanceOutput,
    OverlayVideo,
    Pictures,
    annotation_ids,
)
from surgseg_ros.commands.settings_arguments import add_settings_arguments, settings_from
from surgseg_ros.commands.source_arguments import source_of
from surgseg_ros.frames.foreign import say
from surgseg_ros.media.files import Writers
from surgseg_ros.media.progress import progress
from surgseg_ros.media.video import VideoFile
from surgseg_ros.perception.instances import InstanceSettings, InstanceStep
from surgseg_ros.sources import DEFAULT_RATE, FrameSource, open_left


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_input_arguments(parser)
    add_settings_arguments(
        parser.add_argument_group('model'), InstanceSettings, leave_out=['tracking']
    )
    parser.add_argument(
        '--track',
        action='store_true',
        help='give instances track ids; the frames must be in temporal order',
    )
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
    settings = _checked_settings(args)
    step = InstanceStep(settings)
    columns = ('left',) if is_list(args) else None
    with ExitStack() as stack:
        source = stack.enter_context(source_of(args, open_left, root=args.root, columns=columns))
        count = least(source.count, args.frames)
        outputs = _outputs(args, source, step.class_names, count, stack)
        say(source.describe())
        start = time.monotonic()
        seen, classes = 0, Counter[int]()
        for index, frame in enumerate(progress(source.first(args.frames), count)):
            found = Found(index, frame.left, step(frame))
            for output in outputs:
                output.take(found)
            classes.update(found.result.class_ids.tolist())
            seen += 1
        if not seen:
            raise ValueError(f'{args.source} has no frames')
    _summarise(args, seen, classes, step.class_names, time.monotonic() - start)


def _checked_settings(args: argparse.Namespace) -> InstanceSettings:
    """What the arguments say; refuses what cannot be before anything is opened."""
    check_overlay_arguments(args, bool(args.out))
    if args.parts_weights and not args.out:
        raise ValueError('--parts-weights needs --out, the folder for parts/')
    settings = settings_from(args, InstanceSettings, tracking=args.track)
    if args.out and find_spec('pycocotools') is None:
        raise ValueError('--out needs pycocotools, for its masks: pip install pycocotools')
    return settings


def _outputs(
    args: argparse.Namespace,
    source: FrameSource,
    class_names: Sequence[str],
    count: int | None,
    stack: ExitStack,
) -> list[InstanceOutput]:
    """What the arguments ask for, closed with the stack."""
    outputs: list[InstanceOutput] = []
    if args.out:
        outputs.append(stack.enter_context(_detections(args, source, class_names, count)))
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
    args: argparse.Namespace, source: FrameSource, class_names: Sequence[str], count: int | None
) -> Detections:
    """Records with numbers of our own, or those of the annotations, which have to have all."""
    path = args.out / 'detections.json'
    if not args.image_ids:
        return Detections(path, lambda index: index + 1)
    ids = annotation_ids(args.image_ids)
    category_ids = ids.of_classes(class_names)

    def image_id(index: int) -> int:
        name = source.frame_name(index)
        if name not in ids.images:
            raise ValueError(f'{args.image_ids} has no image {name}')
        return ids.images[name]

    for index in range(count or 0):
        image_id(index)
    return Detections(path, image_id, category_ids)


def _summarise(
    args: argparse.Namespace,
    seen: int,
    classes: Counter[int],
    class_names: tuple[str, ...],
    seconds: float,
) -> None:
    places = ', '.join(str(path) for path in (args.out, args.video) if path)
    say(f'{places}: {seen} frames in {seconds:.1f} s; classes and their instances:')
    for class_id, count in sorted(classes.items()):
        say(f'{class_id:4} {class_names[class_id]:28}{count:6}')
