"""`surgseg evaluate segmentation`: class labels of weights, in files or in a bag."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from surgseg_ros import datasets
from surgseg_ros.commands.argument_types import whole_number
from surgseg_ros.commands.dataset_arguments import dataset_option
from surgseg_ros.commands.infer_arguments import given
from surgseg_ros.commands.judgement import Judgement, judge
from surgseg_ros.commands.semantic_arguments import add_semantic_arguments, semantic_settings
from surgseg_ros.evaluation import files, segmentation
from surgseg_ros.evaluation.evaluators.segmentation import SegmentationEvaluator
from surgseg_ros.media.progress import progress
from surgseg_ros.metrics.segmentation_protocols import PROTOCOLS
from surgseg_ros.perception.semantic import SemanticStep

HELP = 'class labels: of weights on a dataset, in files or in a bag'


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    what = task.add_mutually_exclusive_group(required=True)
    what.add_argument('results', type=Path, nargs='?', help='bag with recorded labels')
    what.add_argument('--dataset', choices=datasets.available(), help='run the model over it')
    what.add_argument('--pred', type=Path, help='label images (PNG), class id per pixel')
    task.add_argument(
        '--truth',
        type=Path,
        help='with --pred: folder (or file) of true label images of the '
        'same names; with a bag: bag with the truth, if that is another one',
    )
    task.add_argument(
        '--protocol',
        choices=tuple(PROTOCOLS),
        default='summary',
        help='; '.join(f'{name}: {one.definition}' for name, one in PROTOCOLS.items()),
    )
    task.add_argument(
        '--num-classes',
        type=whole_number(2),
        help='with --pred: number of classes, including the background (default: as in the files)',
    )
    task.add_argument('--topic', default=segmentation.TOPIC, help='topic of the labels in the bag')
    task.add_argument('--root', type=Path, help='folder of the dataset')
    task.add_argument('--split', default='val', help='part of the dataset')
    task.add_argument(
        '--option',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='option of the dataset, such as target=parts or fold=1; may be repeated',
    )
    add_semantic_arguments(task)
    task.add_argument(
        '--mode',
        choices=('all', 'published'),
        help='surgicalsam: prompt with all classes or, as published, '
        "with those in the frame's ground truth (all)",
    )


def evaluate(args: argparse.Namespace) -> Judgement:
    """Judge what the arguments name."""
    class_names, pairs, total = _judged(args)
    evaluator = SegmentationEvaluator(class_names, args.protocol, args.picture is not None)
    return judge(evaluator, progress(pairs, total))


def _judged(
    args: argparse.Namespace,
) -> tuple[Sequence[str], Iterable[segmentation.Judged], int | None]:
    """Class names, frames with results and, where it is known, how many."""
    if args.dataset:
        if not args.root:
            raise ValueError('--dataset needs --root, its folder')
        options = dict(dataset_option(text) for text in args.option)
        dataset = datasets.open_dataset(args.dataset, args.root, args.split, **options)
        mode = given(args, 'mode')
        step = SemanticStep(semantic_settings(args, **mode), **mode)
        pairs = segmentation.predicted(step, dataset, args.mode == 'published')
        return dataset.class_names, pairs, len(dataset)
    if args.weights:
        raise ValueError('--weights needs --dataset and --root, the frames to run them on')
    if args.pred:
        if not args.truth:
            raise ValueError('--pred needs --truth, the folder of true labels')
        places = [args.truth, args.pred]
        names = args.class_names or files.classes_in(places, args.num_classes)
        return names, files.label_files(args.pred, args.truth), None
    return *segmentation.recorded(args.results, args.truth, args.topic), None
