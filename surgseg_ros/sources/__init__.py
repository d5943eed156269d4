"""Where stereo frames come from: the simulator, a bag, a stereo video, folders or lists of images.

open_source('sim:seed=3,frames=100'), open_source('case7.mcap'), open_source('video.mp4',
calibration='stereo.yaml'), open_source('left,right') all give a FrameSource; nodes, `surgseg
infer` and evaluation see nothing else.
"""

from pathlib import Path
from typing import Any

from surgseg_ros.bags import is_bag
from surgseg_ros.geometry.calibration_checks import calibration_errors
from surgseg_ros.geometry.rectification import rectified_calibration
from surgseg_ros.sources.bag import BagSource
from surgseg_ros.sources.base import DEFAULT_RATE, FIRST_STAMP, Calibration, FrameSource
from surgseg_ros.sources.csv_list import CsvSource
from surgseg_ros.sources.folders import IMAGES, FolderSource
from surgseg_ros.sources.simulator import SimulatorSource
from surgseg_ros.sources.video import SUFFIXES, VideoSource

__all__ = [
    'DEFAULT_RATE',
    'FIRST_STAMP',
    'BagSource',
    'Calibration',
    'CsvSource',
    'FolderSource',
    'FrameSource',
    'SimulatorSource',
    'VideoSource',
    'open_left',
    'open_source',
]

_SPECS = (
    "'sim' (or 'sim:seed=3,frames=100'), a bag, a stereo video, a folder with left/ and right/, "
    "'LEFT,RIGHT' (two folders or two images), or a CSV list of images"
)


def open_source(
    spec: str | Path, calibration: Calibration | None = None, **options: object
) -> FrameSource:
    """Open what `spec` names (see the module's docstring) as a FrameSource.

    calibration: a StereoCalibration or files for read_calibration ('left.yaml,right.yaml' for a
    pair of camera_info); replaces that of a bag. None is the same as not given.
    options: rectified - True says that the images are rectified already, whatever their names and
    the calibration's D; simulator - those of VirtualEndoscope, and frames; bag - left, right,
    left_info, right_info (topics), tolerance, stacking (see StereoBag); video - stacking, rate;
    folders - rate, disparity; CSV list - rate, root, columns.
    Raises ValueError or OSError (ImportError without MuJoCo), in one sentence, if it cannot be
    opened or its calibration is meaningless (calibration_errors).
    """
    return _open(_source(str(spec)), str(spec), calibration, options)


def open_left(
    spec: str | Path, calibration: Calibration | None = None, **options: object
) -> FrameSource:
    """Like open_source, for users of the left image only.

    Besides, `spec` may be an image, a folder of images (without left/), a video or a bag of one
    eye: such frames have the image twice.
    """
    path = Path(spec)
    kind, arguments = _source(str(spec), one_eye=True)
    if kind in (VideoSource, BagSource):
        options['left_only'] = True
    return _open((kind, arguments), str(path), calibration, options)


def _open(
    source: tuple[type[FrameSource], list[Any]],
    spec: str,
    calibration: Calibration | None,
    options: dict[str, object],
) -> FrameSource:
    kind, arguments = source
    options = {name: value for name, value in options.items() if value is not None}
    rectified = bool(options.pop('rectified', False))
    if calibration is not None:
        options['calibration'] = calibration
    if rectified and kind is BagSource:
        options['rectified'] = True
    wrong = sorted(options.keys() - {*kind.OPTIONS, 'rectified', 'left_only'})
    if wrong and kind is not SimulatorSource:  # whose options VirtualEndoscope checks
        raise ValueError(
            f'{", ".join(wrong)} cannot be given with {spec}; possible: {", ".join(kind.OPTIONS)}'
        )
    opened = kind(*arguments, **options)
    if rectified and opened.calibration:
        opened.calibration = rectified_calibration(opened.calibration)
    errors = calibration_errors(opened.calibration) if opened.calibration else []
    if errors:
        opened.close()
        origin = calibration if isinstance(calibration, str | Path) else opened.name
        raise ValueError(f'calibration of {origin}: {errors[0]}')
    return opened


def _source(spec: str, one_eye: bool = False) -> tuple[type[FrameSource], list[Any]]:
    """Class and positional arguments of the source that `spec` names; see open_left."""
    name, _, details = spec.partition(':')
    path = Path(spec)
    if name in ('sim', 'simulator'):
        return SimulatorSource, [details]
    if is_bag(path):
        return BagSource, [path]
    if path.suffix.lower() in SUFFIXES:
        return VideoSource, [path]
    if path.suffix.lower() == '.csv':
        return CsvSource, [path]
    if one_eye and _is_one_eye(path):
        return FolderSource, [path, path]
    if path.is_dir():
        return FolderSource, [path / 'left', path / 'right']
    if not path.exists() and spec.count(',') == 1:
        return FolderSource, [Path(part.strip()) for part in spec.split(',')]
    if not path.exists():
        raise FileNotFoundError(f'{spec} is not there; a source is {_SPECS}')
    raise ValueError(f'{spec} is no source of stereo frames; expected {_SPECS}')


def _is_one_eye(path: Path) -> bool:
    if path.is_dir():
        return not (path / 'left').is_dir()
    return path.is_file() and path.suffix.lower() in IMAGES
