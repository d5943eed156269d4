"""`surgseg evaluate pose`: poses of instruments against those of the virtual endoscope."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros import predictors
from surgseg_ros.commands.judgement import Judgement
from surgseg_ros.evaluation.evaluators import without_nan
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.tool_pose.frame_poses import estimate_poses
from surgseg_ros.geometry.tool_pose.instruments import InstrumentTable
from surgseg_ros.media.progress import progress
from surgseg_ros.media.share import share
from surgseg_ros.networks.bundled import bundled_weights
from surgseg_ros.predictors.parts import PartsPredictor

HELP = 'poses of instruments against the virtual endoscope'
TRUE_STDDEV = 0.02  # px: how exact the simulator's disparity is
RATE = 1.0  # frames per second of simulated time, so that poses differ


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        '--source',
        default='sim:seed=1,frames=200',
        help='virtual endoscope, whose instruments have the joints of a da Vinci and move for '
        '1 s between frames unless it states otherwise',
    )
    parser.add_argument(
        '--masks',
        choices=('true', 'predicted'),
        default='true',
        help='masks of the simulator, or those that the instance network finds',
    )
    parser.add_argument(
        '--disparity',
        choices=('true', 'none', *predictors.stereo()),
        default='sgbm',
        help='source of the disparity; none: monocular poses',
    )
    parser.add_argument('--weights', type=Path, help='checkpoint of the stereo network')
    parser.add_argument(
        '--instruments', type=Path, help='table of instruments (config/instruments.yaml)'
    )


def evaluate(args: argparse.Namespace) -> Judgement:
    """Judge poses estimated from what the arguments name."""
    from surgseg_ros.evaluation import tool_pose

    instances_of = _instances(args.masks)  # networks first, see surgseg_ros.simulation
    disparity_of = _disparity(args)
    instruments = InstrumentTable.read(args.instruments or share() / 'config/instruments.yaml')

    def poses_of(
        frame: StereoFrame, instances: InstanceResult, disparity: np.ndarray | None
    ) -> list[Any]:
        assert frame.calibration is not None
        stddev = None
        if args.disparity == 'true' and disparity is not None:
            stddev = np.full(disparity.shape, TRUE_STDDEV, np.float32)
        return estimate_poses(instances, frame.calibration, instruments, disparity, stddev)

    with _source(args.source) as source:
        frames = progress(source.first(None), source.count)
        figures = tool_pose.evaluate(frames, instances_of, disparity_of, poses_of)
    note = f'protocol pose: {tool_pose.DEFINITION}'
    return Judgement(without_nan(figures), tool_pose.table(figures), notes=(note,))


def _source(text: str) -> Any:
    from surgseg_ros.sources.simulator import SimulatorSource

    kind, _, details = text.partition(':')
    if kind != 'sim':
        raise ValueError(f'--source is {text!r}, expected sim:NAME=VALUE,...: it knows the truth')
    given = {item.partition('=')[0].strip() for item in details.split(',')}
    wanted = {'articulated': True, 'rate': RATE, 'frames': 200}
    return SimulatorSource(details, **{k: v for k, v in wanted.items() if k not in given})


def _instances(masks: str) -> Callable[[StereoFrame], InstanceResult]:
    from surgseg_ros.evaluation.tool_pose import true_instances

    if masks == 'true':
        return true_instances
    predictor: Any = predictors.create('solo_mobilenet', weights=bundled_weights('solo_mobilenet'))
    parts = bundled_weights('lwanet_parts')
    if parts:
        predictor = PartsPredictor.from_weights(predictor, parts)
    predictor.prepare(512, 640)

    def predict(frame: StereoFrame) -> InstanceResult:
        result: InstanceResult = predictor.predict(frame.left).best(20, 0.3).distinct()
        return result

    return predict


def _disparity(args: argparse.Namespace) -> Callable[[StereoFrame], np.ndarray | None]:
    if args.disparity == 'none':
        return lambda frame: None
    if args.disparity == 'true':
        return lambda frame: frame.truth.disparity if frame.truth else None
    options = {'weights': args.weights} if args.weights else {}
    predictor = predictors.create(args.disparity, **options)
    return lambda frame: predictor.predict(frame.left, frame.right).disparity
