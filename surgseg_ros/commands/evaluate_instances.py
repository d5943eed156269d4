"""`surgseg evaluate instances`: COCO's average precision of masks."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from surgseg_ros import predictors
from surgseg_ros.commands.dataset_arguments import (
    add_instance_dataset_arguments,
    open_instance_dataset,
)
from surgseg_ros.commands.judgement import Judgement, judge
from surgseg_ros.commands.settings_arguments import (
    add_settings_arguments,
    check_settings,
    settings_from,
)
from surgseg_ros.evaluation import instances
from surgseg_ros.evaluation.evaluators.instances import DEFINITION, figures, table
from surgseg_ros.metrics.coco_files import read_json
from surgseg_ros.networks.card import read_card
from surgseg_ros.perception.instances import AS_PUBLISHED, InstanceSettings, InstanceStep

HELP = "COCO's average precision of masks: of files, or weights on a dataset"


def add_instance_settings(task: argparse.ArgumentParser, leave_out: Sequence[str] = ()) -> None:
    """All that InstanceStep has, with the model of the card of --weights as default."""
    task.add_argument(
        '--model', choices=predictors.instance(), help='default: what the card of the weights says'
    )
    group = task.add_argument_group('instances')
    left_out = ('model', 'weights', 'parts_weights', *leave_out)
    add_settings_arguments(group, InstanceSettings, leave_out=left_out)


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    what = task.add_mutually_exclusive_group(required=True)
    what.add_argument('--pred', type=Path, help='COCO results, a JSON file')
    what.add_argument('--weights', help='run these weights over --dataset')
    task.add_argument(
        '--truth', '--gt', type=Path, dest='truth', help='with --pred: COCO annotations, JSON'
    )
    task.add_argument('--protocol', choices=('coco',), default='coco', help=DEFINITION)
    add_instance_dataset_arguments(task, required=False)
    add_instance_settings(task, ('tracking', 'max_gap'))
    task.description = (
        'Without other options, weights are judged as for average precision: with the '
        "--score-threshold of training's validation (0.1 of SOLO, 0.05 of FASSST), "
        '--final-threshold 0.05, --max-overlap 1 and --max-instances 100.'
    )


def evaluate(args: argparse.Namespace) -> Judgement:
    """Judge what the arguments name."""
    if not args.pred:
        check_settings(args, InstanceSettings)
        dataset = open_instance_dataset(args)
        step = _step_for_average_precision(args)
        return judge(instances.evaluate_step(step, dataset, args.picture is not None), [])
    if not args.truth:
        raise ValueError('--pred needs --truth, the annotations')
    truth = read_json(args.truth)
    metrics = instances.evaluate(args.pred, args.truth)  # says what is wrong with the truth
    found = figures(metrics, len(truth['images']))
    notes = [f'{found["frames"]} frames; protocol coco: {DEFINITION}']
    if truth['annotations'] and all(one.get('iscrowd') for one in truth['annotations']):
        notes.append(f'{args.truth}: all annotations are crowds (iscrowd), so nothing is judged')
    return Judgement(found, table(found), notes=tuple(notes))


def model_of(args: argparse.Namespace) -> str:
    """--model, or what the card of --weights says; ValueError if that is nothing."""
    if args.model:
        return str(args.model)
    card = read_card(Path(args.weights))
    if card is None:
        raise ValueError(
            f'{args.weights} has no card that says of which network they are: give --model'
        )
    return card.network


def _step_for_average_precision(args: argparse.Namespace) -> InstanceStep:
    """Make the step that the arguments say; else it keeps all that COCO's metric takes."""
    model = model_of(args)
    step = InstanceStep(
        settings_from(args, InstanceSettings, model=model, tracking=False, **AS_PUBLISHED)
    )
    if args.score_threshold is None:
        step.settings = replace(step.settings, score_threshold=step.validation_threshold)
    return step
