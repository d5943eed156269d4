"""`surgseg evaluate stereo`: disparity of a matcher on frames, in files or in a bag."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from surgseg_ros.commands.argument_types import whole_number
from surgseg_ros.commands.infer_arguments import least
from surgseg_ros.commands.judgement import Judgement, judge
from surgseg_ros.commands.settings_arguments import add_settings_arguments, settings_from
from surgseg_ros.evaluation import files, stereo
from surgseg_ros.evaluation.evaluators.scared import DEFINITION, ScaredEvaluator
from surgseg_ros.evaluation.evaluators.stereo import StereoEvaluator, uncertainty_tables
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.geometry.calibration_files import read_calibration
from surgseg_ros.media.progress import progress
from surgseg_ros.metrics.stereo_protocols import PROTOCOLS
from surgseg_ros.perception.stereo import StereoSettings, StereoStep
from surgseg_ros.rosdata.frame_messages import is_rectified
from surgseg_ros.sources import open_source

HELP = 'disparity: of a matcher on frames, in files or in a bag'


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    what = task.add_mutually_exclusive_group(required=True)
    what.add_argument('results', type=Path, nargs='?', help='bag with recorded disparity')
    what.add_argument(
        '--source',
        nargs='+',
        help='run --model over the frames with truth of one source or several, such as '
        "'sim:seed=1,frames=20' 'sim:seed=2,frames=20'",
    )
    what.add_argument(
        '--pred',
        type=Path,
        help='disparity files: 16-bit PNG (0 is a hole), float TIFF or npy (NaN is a hole)',
    )
    task.add_argument(
        '--truth',
        type=Path,
        help='with --pred: folder (or file) of true disparity of the same names, 0 unknown; with '
        'a bag: bag with ground truth, if that is another one',
    )
    known = {name: one.definition for name, one in PROTOCOLS.items()} | {'scared': DEFINITION}
    task.add_argument(
        '--protocol',
        choices=tuple(known),
        default='valid',
        help='; '.join(f'{name}: {one}' for name, one in known.items()).replace('%', '%%'),
    )
    task.add_argument(
        '--disparity-scale',
        type=float,
        default=128.0,
        help='scale of 16-bit PNG: value per px (128)',
    )
    task.add_argument(
        '--calibration',
        type=Path,
        help='with --pred: calibration of the cameras, for depth in mm; scared: that of the raw '
        'cameras, or a folder with DATASET/KEYFRAME.yaml (or .json)',
    )
    task.add_argument(
        '--wrong-calibration',
        action='store_true',
        help='scared: also evaluate datasets 4 and 5, whose calibration is wrong',
    )
    task.add_argument(
        '--frames', type=whole_number(1), help='largest number of frames of each source'
    )
    add_settings_arguments(
        task.add_argument_group('model'), StereoSettings, leave_out=['mode', 'tool_threshold']
    )
    task.add_argument('--topic', default=stereo.TOPIC, help='topic of the disparity in the bag')


def evaluate(args: argparse.Namespace) -> Judgement:
    """Judge what the arguments name."""
    judgement = _scared(args) if args.protocol == 'scared' else _disparity(args)
    return replace(judgement, more=uncertainty_tables(judgement.figures))


def _disparity(args: argparse.Namespace) -> Judgement:
    evaluator = StereoEvaluator(args.protocol, args.picture is not None)
    if args.pred:
        _check_files(args)
        calibration = read_calibration(args.calibration) if args.calibration else None
        pairs = files.disparity_files(args.pred, args.truth, args.disparity_scale, calibration)
        return judge(evaluator, progress(pairs, None))
    if args.source:
        return _of_source(args, evaluator)
    judged = stereo.evaluate(args.results, args.truth, args.topic, args.protocol)
    return judge(judged, [])


def _of_source(args: argparse.Namespace, evaluator: StereoEvaluator) -> Judgement:
    settings = settings_from(args, StereoSettings)
    judged = chain.from_iterable(
        _predicted(settings, source, args.frames) for source in args.source
    )
    return judge(evaluator, judged)


def _predicted(settings: StereoSettings, name: str, most: int | None) -> Iterator[stereo.Judged]:
    """Samples and results of one source, whose content area is its own."""
    with open_source(name) as source:
        if source.calibration and not is_rectified(source.calibration):
            raise ValueError(f'{source.name} is not rectified, as true disparity has to be')
        frames = progress(source.first(most), least(source.count, most))
        yield from stereo.predicted(StereoStep(settings), frames)


def _scared(args: argparse.Namespace) -> Judgement:
    _check_files(args)
    if not args.calibration:
        raise ValueError('--protocol scared needs --calibration, of the raw cameras')
    calibrations = _calibrations(args.calibration)
    pairs = files.depth_files(args.pred, args.truth, args.disparity_scale, calibrations)
    return judge(ScaredEvaluator(args.wrong_calibration), progress(pairs, None))


def _calibrations(place: Path) -> files.Calibrations:
    """That of the file for every frame, or of the frame's keyframe below a folder."""
    if place.is_file():
        one = read_calibration(place)
        return lambda name: one
    known: dict[str, StereoCalibration] = {}

    def find(name: str) -> StereoCalibration | None:
        keyframe = name.rpartition('/')[0]
        if keyframe not in known:
            paths = [place / f'{keyframe}{suffix}' for suffix in ('.yaml', '.yml', '.json')]
            path = next((one for one in paths if one.is_file()), None)
            if path is None:
                return None
            known[keyframe] = read_calibration(path)
        return known[keyframe]

    return find


def _check_files(args: argparse.Namespace) -> None:
    if not args.pred or not args.truth:
        raise ValueError('files are judged with --pred and --truth')
    if not 0 < args.disparity_scale < float('inf'):
        raise ValueError(f'--disparity-scale is {args.disparity_scale:g}, expected more than 0')
