"""surgseg infer: run a predictor over files, without ROS."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros import predictors
from surgseg_ros.commands.progress import progress
from surgseg_ros.commands.source_arguments import add_source_arguments, source_of
from surgseg_ros.frame_messages import is_rectified
from surgseg_ros.geometry.calibration import StereoCalibration
from surgseg_ros.geometry.ply import write_ply
from surgseg_ros.geometry.points import disparity_to_cloud
from surgseg_ros.geometry.rectification import Rectifier, align_principal_points
from surgseg_ros.geometry.stereo_frame import StereoFrame
from surgseg_ros.predictors.scaling import StereoPredictor, predict_scaled

_PNG_SCALE = 256  # 16-bit PNG as KITTI stores disparity: value / 256 px, 0 unknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the tasks; so far: stereo."""
    tasks = parser.add_subparsers(dest='task', required=True)
    stereo = tasks.add_parser('stereo', help='disparity, and points where there is a calibration')
    add_source_arguments(stereo)
    stereo.add_argument('--out', type=Path, required=True, help='folder for the results')
    stereo.add_argument('--model', default='sgbm', help='name of a stereo predictor')
    stereo.add_argument('--scale', type=float, default=1.0, help='shrink the images first, 0..1')
    stereo.add_argument('--frames', type=int, help='at most so many')
    stereo.add_argument(
        '--format',
        choices=('png', 'tiff'),
        default='tiff',
        help=f'tiff: float32 px, NaN unknown; png: 16 bit, {_PNG_SCALE} per px, 0 unknown',
    )
    stereo.add_argument('--cloud', action='store_true', help='a coloured PLY cloud per frame too')
    stereo.set_defaults(task=_stereo)


def run(args: argparse.Namespace) -> int:
    """Do the task chosen."""
    args.task(args)
    return 0


def _stereo(args: argparse.Namespace) -> None:
    predictor = predictors.create(args.model)
    with source_of(args) as source:
        calibration, rectifier = _rectification(source.calibration)
        if args.cloud and calibration is None:
            raise ValueError(f'{source.name} has no calibration, which --cloud needs')
        args.out.mkdir(parents=True, exist_ok=True)
        print(source.describe())
        coverage = [
            _infer(args, index, frame, predictor, calibration, rectifier)
            for index, frame in enumerate(
                progress(source.first(args.frames), args.frames or source.count)
            )
        ]
    mean = np.mean(coverage) if coverage else 0
    print(f'{args.out}: {len(coverage)} disparities, {100 * mean:.1f} % of the pixels known')


def _rectification(
    given: StereoCalibration | None,
) -> tuple[StereoCalibration | None, Rectifier | None]:
    """Calibration of what is matched, and what rectifies the images to it, if they are not yet."""
    if given is None or is_rectified(given):
        return given, None
    rectifier = Rectifier(given)
    return rectifier.calibration, rectifier


def _infer(
    args: argparse.Namespace,
    index: int,
    frame: StereoFrame,
    predictor: StereoPredictor,
    calibration: StereoCalibration | None,
    rectifier: Rectifier | None,
) -> float:
    """Match one frame, write its files, return the share of pixels with a disparity."""
    left, right, rest = frame.left, frame.right, 0.0
    if rectifier:
        left, right = rectifier.rectify(left, right)
    if calibration:
        right, rest = align_principal_points(right, calibration)
    disparity = predict_scaled(predictor, left, right, args.scale).disparity - np.float32(rest)
    _write_disparity(args.out / f'disparity_{index:06d}.{args.format}', disparity)
    if args.cloud and calibration:
        cloud = disparity_to_cloud(disparity, calibration, left)
        write_ply(args.out / f'cloud_{index:06d}.ply', cloud)
    return float(np.isfinite(disparity).mean())


def _write_disparity(path: Path, disparity: np.ndarray) -> None:
    """HxW float32 px, rectified, without cx_left - cx_right, NaN unknown: as TIFF or PNG."""
    pixels = disparity
    if path.suffix == '.png':
        pixels = np.nan_to_num(disparity * _PNG_SCALE).clip(0, 65535).round().astype(np.uint16)
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f'{path} cannot be written')
