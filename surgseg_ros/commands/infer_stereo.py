"""surgseg infer stereo: disparity and tool masks of files, without ROS."""

import argparse
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from surgseg_ros import networks
from surgseg_ros.commands.destinations import Destinations
from surgseg_ros.commands.infer_arguments import (
    add_input_arguments,
    add_writers_argument,
    is_list,
    least,
)
from surgseg_ros.commands.settings_arguments import add_settings_arguments, settings_from
from surgseg_ros.commands.source_arguments import source_of
from surgseg_ros.commands.stereo_outputs import (
    ORBIT_RATE,
    Files,
    Inferred,
    OrbitVideo,
    SideBySide,
    StereoOutput,
    views_per_frame,
)
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.foreign import say
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.extrinsics import with_alpha
from surgseg_ros.geometry.rectification import Rectifier, vertical_residual
from surgseg_ros.media.files import Writers
from surgseg_ros.media.orbit import Orbit
from surgseg_ros.media.progress import progress
from surgseg_ros.media.video import SUFFIXES as VIDEO_SUFFIXES
from surgseg_ros.media.video import VideoFile
from surgseg_ros.perception.stereo import StereoSettings, StereoStep
from surgseg_ros.rosdata.frame_messages import is_rectified
from surgseg_ros.sources import DEFAULT_RATE, FrameSource

_KINDS = {'disparity': 'disparity', 'tool_mask': 'segmentation'}
_DISPARITY_SCALE = 128  # as MSDESIS and SCARED store disparity: value / 128 px, 0 unknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_input_arguments(parser)
    parser.add_argument(
        '--alpha',
        type=float,
        help='rectify again: 0 without black borders, 1 with every pixel; -1: do not',
    )
    add_settings_arguments(
        parser.add_argument_group('model'),
        StereoSettings,
        aliases={'tool_threshold': '--threshold'},
    )
    _add_output_arguments(parser)


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group('output')
    output.add_argument(
        '--out',
        type=Path,
        help='folder for disparity/, segmentation/, cloud/; '
        'a CSV list states the output files below it',
    )
    output.add_argument(
        '--disparity-format',
        choices=('png', 'tiff'),
        default='tiff',
        help='tiff: float32 px, NaN unknown; png: 16 bit, 0 unknown',
    )
    output.add_argument(
        '--disparity-scale',
        type=float,
        default=_DISPARITY_SCALE,
        help=f'scale of 16-bit disparity: px = value / scale ({_DISPARITY_SCALE})',
    )
    output.add_argument(
        '--cloud', action='store_true', help='also write a coloured PLY cloud per frame'
    )
    add_writers_argument(output)
    output.add_argument(
        '--video',
        type=Path,
        metavar='MP4',
        help='video of the left image beside the disparity in colours, tools in cyan',
    )
    output.add_argument(
        '--render-orbit',
        type=Path,
        metavar='MP4',
        help='video of the cloud from a camera that circles the endoscope, tools in cyan',
    )
    output.add_argument(
        '--orbit-frame',
        type=int,
        metavar='N',
        help='circle around this frame instead of following the sequence',
    )


def run(args: argparse.Namespace) -> None:
    """Infer every frame and write what is asked for."""
    settings = settings_from(args, StereoSettings)
    _check(args, settings)
    step = StereoStep(settings)
    with ExitStack() as stack:
        source = stack.enter_context(_source(args, settings))
        limit = _limit(args, source)
        count = least(source.count, limit)
        frames = source.first(limit)
        rectify = _Rectification(source.calibration, args.alpha)
        outputs = _outputs(args, settings, source, count, rectify.calibration, stack)
        say(source.describe())
        start = time.monotonic()
        shares: list[tuple[float, float]] = []
        for index, frame in enumerate(progress(frames, count)):
            wanting = [output for output in outputs if output.wants(index)]
            if wanting:
                frame = rectify(frame)
                if not shares and 'disparity' in settings.finds:
                    say(_rows_apart(frame.left, frame.right))
                inferred = Inferred(index, frame.left, step(frame), frame.calibration)
                shares.append(_shares(inferred))
            for output in wanting:
                output.take(inferred)
    _summarise(args, settings, np.array(shares), time.monotonic() - start)


class _Rectification:
    """Rectifies frames if their calibration, which may change, says that they are not.

    calibration: of the rectified images, None if unknown; at first that of the source.
    """

    def __init__(self, given: StereoCalibration | None, alpha: float | None) -> None:
        self._alpha = alpha
        if alpha is not None and (given is None or is_rectified(given)):
            raise ValueError('--alpha rectifies raw images and needs --calibration of them')
        self._take(given)

    def _take(self, given: StereoCalibration | None) -> None:
        self._given = self.calibration = given
        self._rectifier: Rectifier | None = None
        if given is not None and not is_rectified(given):
            alpha = self._alpha
            self._rectifier = Rectifier(given if alpha is None else with_alpha(given, alpha))
            self.calibration = self._rectifier.calibration

    def __call__(self, frame: StereoFrame) -> StereoFrame:
        if frame.calibration is not self._given:
            self._take(frame.calibration)
        left, right = frame.left, frame.right
        if self._rectifier:
            left, right = self._rectifier.rectify(left, right)
        return replace(frame, left=left, right=right, calibration=self.calibration)


def _check(args: argparse.Namespace, settings: StereoSettings) -> None:
    """Refuse what cannot be before anything is opened."""
    if args.tool_threshold is not None and settings.model not in networks.available():
        raise ValueError('--tool-threshold is for a network: sgbm finds no tools')
    if not (args.out or is_list(args) or args.video or args.render_orbit):
        raise ValueError('nothing to write: give --out, --video or --render-orbit')
    if args.out and args.out.suffix.lower() in VIDEO_SUFFIXES:
        raise ValueError(f'--out is a folder for files; for a video say --video {args.out}')
    if args.cloud and not _writes_files(args):
        raise ValueError('--cloud needs --out, the folder for the clouds')
    if args.render_orbit is None and args.orbit_frame is not None:
        raise ValueError('--orbit-frame needs --render-orbit, the video to write')
    if 'disparity' not in settings.finds and (args.cloud or args.render_orbit):
        raise ValueError('--mode segmentation finds no disparity, which a cloud needs')
    files = [path.resolve() for path in (Path(args.source), args.video, args.render_orbit) if path]
    if len(set(files)) < len(files):
        raise ValueError('the source, --video and --render-orbit must be different files')
    if not args.disparity_scale > 0:
        raise ValueError('--disparity-scale must be positive')


def _writes_files(args: argparse.Namespace) -> bool:
    return bool(args.out or is_list(args) and not (args.video or args.render_orbit))


def _kinds(settings: StereoSettings) -> list[str]:
    """What the model finds, as files call it."""
    return [_KINDS[kind] for kind in settings.finds]


def _source(args: argparse.Namespace, settings: StereoSettings) -> FrameSource:
    if not is_list(args):
        return source_of(args, root=args.root)
    images = ('left', 'right') if 'disparity' in settings.finds else ('left',)
    written = _kinds(settings) if _writes_files(args) else ()
    return source_of(args, root=args.root, columns=(*images, *written))


def _limit(args: argparse.Namespace, source: FrameSource) -> int | None:
    """How many frames are wanted at most, None for all."""
    only = args.orbit_frame
    end = least(source.count, args.frames)
    if only is not None and (only < 0 or end is not None and only >= end):
        raise ValueError(f'{source.name}: none of {end or "its"} frames is number {only}')
    if only is None or args.video or _writes_files(args):
        limit: int | None = args.frames
        return limit
    return int(only) + 1


def _outputs(
    args: argparse.Namespace,
    settings: StereoSettings,
    source: FrameSource,
    count: int | None,
    calibration: StereoCalibration | None,
    stack: ExitStack,
) -> list[StereoOutput]:
    """What the arguments ask for, closed with the stack."""
    if calibration is None and (args.cloud or args.render_orbit):
        wish = '--cloud' if args.cloud else '--render-orbit'
        raise ValueError(f'{source.name} has no calibration, which {wish} needs')
    rate = source.rate or DEFAULT_RATE
    outputs: list[StereoOutput] = []
    if _writes_files(args):
        kinds = (*_kinds(settings), *(['cloud'] if args.cloud else []))
        suffixes = {
            'disparity': f'.{args.disparity_format}',
            'segmentation': '.png',
            'cloud': '.ply',
        }
        destinations = Destinations(
            source, args.out, {kind: suffixes[kind] for kind in kinds}, count
        )
        writers = stack.enter_context(Writers(args.writers))
        outputs.append(Files(destinations, writers, args.disparity_scale))
    if args.video:
        outputs.append(SideBySide(stack.enter_context(VideoFile(args.video, rate))))
    if args.render_orbit:
        assert calibration is not None
        if views_per_frame(args.orbit_frame, count) > 1:
            rate = ORBIT_RATE
        video = stack.enter_context(VideoFile(args.render_orbit, rate))
        outputs.append(OrbitVideo(video, Orbit(calibration), args.orbit_frame, count))
    return outputs


def _shares(frame: Inferred) -> tuple[float, float]:
    """Of the pixels: those with a disparity, those of tools."""
    mask = frame.result.tool_mask
    known = float(np.isfinite(frame.result.disparity).mean())
    return known, 0.0 if mask is None else float((mask > 0).mean())


def _rows_apart(left: np.ndarray, right: np.ndarray) -> str:
    """How well a rectified pair is rectified; a matcher suffers from more than about 1 px."""
    residual, matches = vertical_residual(left, right)
    if residual is None:
        return f'rows of left and right: not measured, {matches} matches are too few'
    return f'rows {residual:.2f} px apart ({matches} matches)'


def _summarise(
    args: argparse.Namespace, settings: StereoSettings, shares: np.ndarray, seconds: float
) -> None:
    if not len(shares):
        raise ValueError(f'{args.source} has no frames')
    known, tools = 100 * shares.mean(axis=0)
    found = {
        'disparity': f'disparity for {known:.1f} % of the pixels',
        'segmentation': f'tools on {tools:.1f} %',
    }
    where = args.out or (Path(args.source).parent if _writes_files(args) else None)
    places = ', '.join(str(path) for path in (where, args.video, args.render_orbit) if path)
    say(
        f'{places}: {len(shares)} frames in {seconds:.1f} s, '
        + ', '.join(found[kind] for kind in _kinds(settings))
    )
