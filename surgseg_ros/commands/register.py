"""surgseg register: where a robot arm's base is, seen from the camera; no marker is needed."""

import argparse
import json
import re
from pathlib import Path

import numpy as np

from surgseg_ros.bags import is_bag
from surgseg_ros.bags.pose_recordings import read_sightings, read_track
from surgseg_ros.frames.foreign import say
from surgseg_ros.geometry.hand_eye import Pairs, Registration, leave_one_out, register
from surgseg_ros.geometry.hand_eye_timing import estimate_delay, pair
from surgseg_ros.geometry.registration_files import (
    kit_dvrk,
    kit_opencv,
    read_pairs,
    static_transform,
)
from surgseg_ros.media.files import whole_file
from surgseg_ros.media.registration_picture import write_residuals

_MM = 1000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        'source', type=Path, help='bag with tool poses and the arm, or a JSON file of pairs'
    )
    parser.add_argument('--arm', required=True, metavar='PSM1', help='name of the robot arm')
    parser.add_argument('--out', type=Path, required=True, help='folder for the results')
    parser.add_argument(
        '--robot-topic', help="the arm's pose of its control point (default: /ARM/measured_cp)"
    )
    parser.add_argument(
        '--poses-topic',
        default='/endoscope/tool_poses',
        help='tool poses that the camera saw (default: %(default)s)',
    )
    parser.add_argument(
        '--tool', type=int, help='slot of the instrument that the arm holds (default: as the arm)'
    )
    parser.add_argument(
        '--offset',
        default='estimate',
        metavar='X,Y,Z',
        help='of the seen point in the frame of the control point, mm; 0,0,0 where both mean the '
        'same point (default: estimate it)',
    )
    parser.add_argument(
        '--delay',
        default='estimate',
        metavar='S',
        help="delay of the camera's stamps, s (default: estimate it)",
    )
    parser.add_argument(
        '--gate',
        type=float,
        default=10.0,
        help='residual, mm, above which a pair is an outlier (%(default)s)',
    )
    parser.add_argument(
        '--camera-frame', default='endoscope_left_optical', help="frame of the camera's poses"
    )
    parser.add_argument(
        '--ecm-topic',
        metavar='TOPIC',
        help="the endoscope arm's local measured_cp in the bag: writes the form of suj-fixed.json",
    )


def run(args: argparse.Namespace) -> None:
    """Estimate, check by leaving one out, write the files. Nothing is written after an error."""
    offset = _offset(args.offset)
    pairs, delay = _pairs(args, offset)
    registration = register(pairs, args.gate / _MM, offset)
    held_out = leave_one_out(pairs.subset(registration.inliers), args.gate / _MM, offset)
    summary = _summary(args, registration, held_out, delay)
    _write(args, registration, summary)
    _print(args, registration, summary)


def _pairs(args: argparse.Namespace, offset: np.ndarray | None) -> tuple[Pairs, float]:
    if not is_bag(args.source):
        return read_pairs(args.source), 0.0
    topic = args.robot_topic or f'/{args.arm}/measured_cp'
    arm = read_track(args.source, topic)
    seen = read_sightings(args.source, args.poses_topic, _slot(args))
    pair(seen, arm)  # the stamps must meet at all
    delay = estimate_delay(seen, arm, offset) if args.delay == 'estimate' else float(args.delay)
    return pair(seen, arm, delay), delay


def _slot(args: argparse.Namespace) -> int:
    if args.tool is not None:
        return int(args.tool)
    digits = re.search(r'\d+$', args.arm)
    if digits is None:
        raise ValueError(f'--arm {args.arm} has no number: say with --tool which slot it holds')
    return int(digits[0])


def _offset(text: str) -> np.ndarray | None:
    if text == 'estimate':
        return None
    try:
        values = np.array([float(word) for word in text.split(',')]) / _MM
    except ValueError:
        values = np.empty(0)
    if values.shape != (3,):
        raise ValueError(
            f'--offset is {text!r}, expected "estimate" or three numbers such as 0,0,0'
        )
    return values


def _summary(
    args: argparse.Namespace, registration: Registration, held_out: np.ndarray, delay: float
) -> dict[str, object]:
    distances = _MM * np.linalg.norm(registration.residuals[registration.inliers], axis=1)
    return {
        'arm': args.arm,
        'pairs': len(registration.inliers),
        'outliers': int((~registration.inliers).sum()),
        'residual_mm': _figures(distances),
        'leave_one_out_mm': _figures(_MM * held_out),
        'offset_mm': (_MM * registration.offset).round(3).tolist(),
        'delay_s': round(delay, 4),
        'camera_from_base': registration.camera_from_base.tolist(),
        'covariance': registration.covariance.tolist(),
        'covariance_of': 'rotation vector about the camera axes [rad], translation, offset [m]',
    }


def _figures(values: np.ndarray) -> dict[str, float]:
    return {
        'mean': round(float(values.mean()), 3),
        'median': round(float(np.median(values)), 3),
        'max': round(float(values.max()), 3),
    }


def _write(
    args: argparse.Namespace, registration: Registration, summary: dict[str, object]
) -> None:
    ecm = read_track(args.source, args.ecm_topic).poses[-1] if args.ecm_topic else None
    base = f'{args.arm}_base'
    contents = {
        f'{args.arm}-registration-open-cv.json': kit_opencv(registration, args.camera_frame),
        f'{args.arm}-registration-dVRK.json': kit_dvrk(
            registration, args.camera_frame, args.arm, ecm
        ),
        f'{args.arm}-static-transform.yaml': static_transform(
            registration, args.camera_frame, base
        ),
        f'{args.arm}-registration.json': json.dumps(summary, indent=2) + '\n',
    }
    for name, content in contents.items():
        with whole_file(args.out / name) as partial:
            partial.write_text(content)
    title = f'{args.arm}: seen minus predicted control point'
    write_residuals(args.out / f'{args.arm}-residuals.png', registration, title)


def _print(
    args: argparse.Namespace, registration: Registration, summary: dict[str, object]
) -> None:
    sigmas = np.sqrt(np.diag(registration.covariance))
    held_out = summary['leave_one_out_mm']
    assert isinstance(held_out, dict)
    say(f'{args.arm}: {summary["pairs"]} pairs, {summary["outliers"]} outliers')
    say(
        f'leaving one out: mean {held_out["mean"]:.2f}, median {held_out["median"]:.2f}, '
        f'max {held_out["max"]:.2f} mm'
    )
    say(
        f'standard deviation: rotation {np.degrees(sigmas[:3].max()):.2f} deg, '
        f'translation {_MM * sigmas[3:6].max():.2f} mm, offset {_MM * sigmas[6:].max():.2f} mm'
    )
    say(f'offset {summary["offset_mm"]} mm, delay {summary["delay_s"]} s; files in {args.out}')
