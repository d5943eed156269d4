"""`surgseg evaluate TASK`: results against ground truth."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2

from surgseg_ros import datasets, predictors
from surgseg_ros.commands import evaluate_pose
from surgseg_ros.commands.argument_types import size, whole_number
from surgseg_ros.commands.dataset_arguments import (
    add_instance_dataset_arguments,
    dataset_option,
    open_instance_dataset,
)
from surgseg_ros.commands.infer_arguments import given, least
from surgseg_ros.commands.semantic_arguments import add_semantic_arguments, semantic_settings
from surgseg_ros.commands.settings_arguments import (
    add_settings_arguments,
    check_settings,
    settings_from,
)
from surgseg_ros.evaluation import instances, segmentation, stereo
from surgseg_ros.media.progress import progress
from surgseg_ros.metrics.stereo import StereoMetrics
from surgseg_ros.networks.card import read_card
from surgseg_ros.perception.instances import InstanceSettings, InstanceStep
from surgseg_ros.perception.semantic import SemanticStep
from surgseg_ros.perception.stereo import StereoSettings, StereoStep
from surgseg_ros.rosdata.frame_messages import is_rectified
from surgseg_ros.sources import open_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    tasks = parser.add_subparsers(dest='task', required=True)
    task = tasks.add_parser('stereo', help='disparity: in a bag, or of a matcher on frames')
    what = task.add_mutually_exclusive_group(required=True)
    what.add_argument('results', type=Path, nargs='?', help='bag with recorded disparity')
    what.add_argument(
        '--source', help="run --model over these frames with truth, such as 'sim:frames=20'"
    )
    task.add_argument('--frames', type=whole_number(1), help='of the source, at most')
    add_settings_arguments(
        task.add_argument_group('model'), StereoSettings, leave_out=['mode', 'tool_threshold']
    )
    task.add_argument('--truth', type=Path, help='bag with ground truth, if it is another one')
    task.add_argument('--topic', default='/endoscope/disparity')
    task.add_argument('--json', type=Path, help='write the figures into this file, too')
    task.set_defaults(evaluate=_stereo)
    _add_segmentation(
        tasks.add_parser(
            'segmentation',
            aliases=['semantic'],
            help='class labels: of weights on a dataset, in folders or in a bag',
        )
    )
    _add_instances(
        tasks.add_parser(
            'instances',
            help="COCO's average precision of masks: of files, or weights on a dataset",
        )
    )
    task = tasks.add_parser(
        'tracking',
        help='do instances keep their track ids where they '
        'cross, in simulated frames? with true masks and predicted ones',
    )
    task.add_argument('--weights', help='without, only true masks are tracked')
    _add_instance_settings(task, ('tracking',))
    task.add_argument('--size', type=size, default='320x256', help='of the frames (320x256)')
    task.add_argument('--frames', type=whole_number(1), default=300, help='(300)')
    task.add_argument('--json', type=Path, help='write the figures into this file, too')
    task.set_defaults(evaluate=_tracking)
    evaluate_pose.add_arguments(
        tasks.add_parser('pose', help='poses of instruments against the virtual endoscope')
    )


def run(args: argparse.Namespace) -> int:
    """Print a table of metrics."""
    figures: dict[str, Any] = args.evaluate(args)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(segmentation.without_nan(figures), indent=2))
    return 0


def _stereo(args: argparse.Namespace) -> dict[str, Any]:
    uncertainty = {}
    if args.source:
        metrics = _stereo_of_source(args)
    else:
        metrics = stereo.evaluate(args.results, args.truth, args.topic)
        uncertainty = stereo.evaluate_uncertainty(args.results, args.truth, args.topic)
    print(stereo.table(metrics))
    if uncertainty:
        print(stereo.uncertainty_table(uncertainty))
    return {
        **{name: asdict(values) for name, values in metrics.items()},
        **({'stddev': {k: asdict(v) for k, v in uncertainty.items()}} if uncertainty else {}),
    }


def _stereo_of_source(args: argparse.Namespace) -> dict[str, StereoMetrics]:
    step = StereoStep(settings_from(args, StereoSettings))
    with open_source(args.source) as source:
        if source.calibration and not is_rectified(source.calibration):
            raise ValueError(f'{source.name} is not rectified, as true disparity has to be')
        frames = progress(source.first(args.frames), least(source.count, args.frames))
        return stereo.mean_by_region(
            stereo.predicted_frames(step, frames), f'{source.name} has no true disparity'
        )


def _add_instance_settings(task: argparse.ArgumentParser, leave_out: Sequence[str] = ()) -> None:
    """All that InstanceStep has, with the model of the card of --weights as default."""
    task.add_argument(
        '--model', choices=predictors.instance(), help='default: what the card of the weights says'
    )
    group = task.add_argument_group('instances')
    left_out = ('model', 'weights', 'parts_weights', *leave_out)
    add_settings_arguments(group, InstanceSettings, leave_out=left_out)


def _add_instances(task: argparse.ArgumentParser) -> None:
    what = task.add_mutually_exclusive_group(required=True)
    what.add_argument('--pred', type=Path, help='COCO results, a JSON file')
    what.add_argument('--weights', help='run these weights over --dataset')
    task.add_argument('--gt', type=Path, help='with --pred: COCO annotations, a JSON file')
    add_instance_dataset_arguments(task, required=False)
    _add_instance_settings(task, ('tracking', 'max_gap'))
    task.description = (
        'Without other options, weights are judged as for average precision: with the '
        "--score-threshold of training's validation (0.1 of SOLO, 0.05 of FASSST), "
        '--final-threshold 0.05, --max-overlap 1 and --max-instances 100.'
    )
    task.add_argument('--json', type=Path, help='write the figures into this file, too')
    task.set_defaults(evaluate=_instances)


def _instances(args: argparse.Namespace) -> dict[str, Any]:
    if args.pred:
        if not args.gt:
            raise ValueError('--pred needs --gt, the annotations')
        metrics = instances.evaluate(args.pred, args.gt)
    else:
        check_settings(args, InstanceSettings)
        dataset = open_instance_dataset(args)
        metrics = instances.evaluate_step(_step_for_average_precision(args), dataset)
    print(instances.table(metrics))
    return asdict(metrics)


def _step_for_average_precision(args: argparse.Namespace) -> InstanceStep:
    """Make the step that the arguments say; else it keeps all that COCO's metric takes."""
    usual = {'final_threshold': 0.05, 'max_overlap': 1.0, 'max_instances': 100}
    model = _model_of(args)
    step = InstanceStep(
        settings_from(args, InstanceSettings, model=model, tracking=False, **usual)
    )
    if args.score_threshold is None:
        step.settings = replace(step.settings, score_threshold=step.validation_threshold)
    return step


def _tracking(args: argparse.Namespace) -> dict[str, Any]:
    from surgseg_ros.evaluation import tracking
    from surgseg_ros.simulation import VirtualEndoscope, crossing

    check_settings(args, InstanceSettings)
    width, height = args.size
    if args.weights:  # first: once there are pictures nothing may be exported (see simulation)
        model = _model_of(args)
        step = InstanceStep(settings_from(args, InstanceSettings, model=model))
        step.prepare(height, width)
    figures = {}
    with VirtualEndoscope(width, height, **crossing.OPTIONS) as endoscope:
        frames = tracking.with_true_masks(endoscope, args.frames)
        figures['true masks'] = tracking.evaluate(progress(frames, args.frames))
        if args.weights:
            numbers = progress(range(args.frames), args.frames)
            figures[model] = tracking.evaluate_step(step, endoscope, numbers)
    print(tracking.table(figures))
    return {masks: asdict(metrics) for masks, metrics in figures.items()}


def _model_of(args: argparse.Namespace) -> str:
    """--model, or what the card of --weights says; ValueError if that is nothing."""
    if args.model:
        return str(args.model)
    card = read_card(Path(args.weights))
    if card is None:
        raise ValueError(
            f'{args.weights} has no card that says of which network they are: give --model'
        )
    return card.network


def _add_segmentation(task: argparse.ArgumentParser) -> None:
    what = task.add_mutually_exclusive_group(required=True)
    what.add_argument('results', type=Path, nargs='?', help='bag with recorded labels')
    what.add_argument('--dataset', choices=datasets.available(), help='run the model over it')
    what.add_argument('--pred', type=Path, help='folder of label images, class id per pixel')
    task.add_argument(
        '--truth',
        type=Path,
        help='with --pred: folder of true label images of the '
        'same names; with a bag: bag with the truth, if it is another one',
    )
    task.add_argument('--topic', default=segmentation.TOPIC, help='of the labels in the bag')
    task.add_argument('--root', type=Path, help='folder of the dataset')
    task.add_argument('--split', default='val')
    task.add_argument(
        '--option',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='of the dataset, say target=parts or fold=1; may be repeated',
    )
    add_semantic_arguments(task)
    task.add_argument(
        '--mode',
        choices=('all', 'published'),
        help='of surgicalsam: prompt every '
        "class, or, as its authors do, those of the frame's truth (all)",
    )
    task.add_argument('--json', type=Path, help='write the figures into this file, too')
    task.add_argument(
        '--picture',
        type=Path,
        metavar='PNG',
        help='truth beside prediction for the worst, median and best frame',
    )
    task.set_defaults(evaluate=_segmentation)


def _segmentation(args: argparse.Namespace) -> dict[str, Any]:
    class_names, frames, total = _judged(args)
    evaluation = segmentation.Evaluation(class_names, picture=args.picture is not None)
    for judged in progress(frames, total):
        evaluation.add(judged)
    figures = evaluation.figures()
    print(segmentation.table(figures))
    if args.picture:
        cv2.imwrite(str(args.picture), cv2.cvtColor(evaluation.picture(), cv2.COLOR_RGB2BGR))
    return figures


def _judged(
    args: argparse.Namespace,
) -> tuple[Sequence[str], Iterable[segmentation.JudgedLabels], int | None]:
    """Class names, frames and, where it is known, how many."""
    if args.dataset:
        if not args.root:
            raise ValueError('--dataset needs --root, its folder')
        options = dict(dataset_option(text) for text in args.option)
        dataset = datasets.open_dataset(args.dataset, args.root, args.split, **options)
        mode = given(args, 'mode')
        step = SemanticStep(semantic_settings(args, **mode), **mode)
        frames = segmentation.predicted(step, dataset, args.mode == 'published')
        return dataset.class_names, frames, len(dataset)
    if args.weights:
        raise ValueError('--weights needs --dataset and --root, the frames to run them on')
    if args.pred:
        if not args.truth:
            raise ValueError('--pred needs --truth, the folder of true labels')
        names = args.class_names or segmentation.classes_in([args.truth, args.pred])
        return names, segmentation.from_folders(args.pred, args.truth), None
    return *segmentation.recorded(args.results, args.truth, args.topic), None
