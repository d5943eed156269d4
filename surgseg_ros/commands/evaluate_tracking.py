"""`surgseg evaluate tracking`: do instances keep their track ids?"""

import argparse
from pathlib import Path

from surgseg_ros.commands.argument_types import size, whole_number
from surgseg_ros.commands.evaluate_instances import add_instance_settings, model_of
from surgseg_ros.commands.judgement import Judgement, judge
from surgseg_ros.commands.settings_arguments import check_settings, settings_from
from surgseg_ros.evaluation import files
from surgseg_ros.evaluation.evaluators.tracking import TrackingEvaluator, table
from surgseg_ros.media.progress import progress
from surgseg_ros.perception.instances import InstanceSettings, InstanceStep

HELP = (
    'do instances keep their track ids where they cross, in simulated frames (with true masks '
    'and predicted ones), or in files?'
)


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    what = task.add_mutually_exclusive_group()
    what.add_argument(
        '--weights',
        help='checkpoint of the instance network; without one, only true masks are tracked',
    )
    what.add_argument(
        '--pred',
        type=Path,
        help='images of track ids (PNG of 8 or 16 bits), in the order of their names',
    )
    task.add_argument(
        '--truth', type=Path, help='with --pred: images of the true ids, with the same names'
    )
    task.add_argument('--protocol', choices=('mot',), default='mot', help='MOTA, IDF1 and HOTA')
    add_instance_settings(task, ('tracking',))
    task.add_argument('--size', type=size, default='320x256', help='size of the frames (320x256)')
    task.add_argument('--frames', type=whole_number(1), default=300, help='number of frames (300)')


def evaluate(args: argparse.Namespace) -> Judgement:
    """Judge what the arguments name."""
    if args.pred:
        if not args.truth:
            raise ValueError('--pred needs --truth, the true track ids')
        return judge(TrackingEvaluator(), progress(files.track_files(args.pred, args.truth), None))
    return _simulated(args)


def _simulated(args: argparse.Namespace) -> Judgement:
    from surgseg_ros.evaluation import tracking
    from surgseg_ros.simulation import VirtualEndoscope, crossing

    check_settings(args, InstanceSettings)
    width, height = args.size
    if args.weights:  # first: once there are pictures nothing may be exported (see simulation)
        model = model_of(args)
        step = InstanceStep(settings_from(args, InstanceSettings, model=model))
        step.prepare(height, width)
    figures = {}
    with VirtualEndoscope(width, height, **crossing.OPTIONS) as endoscope:
        frames = tracking.with_true_masks(endoscope, args.frames)
        judged = tracking.evaluate(progress(frames, args.frames))
        figures['true masks'] = judged.figures()
        if args.weights:
            numbers = progress(range(args.frames), args.frames)
            figures[model] = tracking.evaluate_step(step, endoscope, numbers).figures()
    return Judgement(figures, table(figures))
