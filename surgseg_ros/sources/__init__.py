"""Where stereo frames come from: the simulator, a bag, a stereo video, folders or lists of images.

open_source('sim:seed=3,frames=100'), open_source('case7.mcap'), open_source('video.mp4',
calibration='stereo.yaml'), open_source('left,right') all give a FrameSource; nodes, `surgseg
infer` and evaluation see nothing else.
"""

from pathlib import Path
from typing import Any

from surgseg_ros.bags import is_bag
from surgseg_ros.geometry.calibration_checks import calibration_errors
from surgseg_ros.sources.bag import BagSource
from surgseg_ros.sources.base import DEFAULT_RATE, FIRST_STAMP, Calibration, FrameSource
from surgseg_ros.sources.csv_list import CsvSource
from surgseg_ros.sources.folders import IMAGES, FolderSource
from surgseg_ros.sources.simulator import SimulatorSource
from surgseg_ros.sources.video import SUFFIXES, VideoSource, told_stacking, video_size

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
    spec: str | Path, calibration: Calibration | None = None, **options: Any
) -> FrameSource:
    """Open what `spec` names (see the module's docstring) as a FrameSource.

    calibration: a StereoCalibration or files for read_calibration ('left.yaml,right.yaml' for a
    pair of camera_info); replaces that of a bag. None is the same as not given.
    options: simulator - those of VirtualEndoscope, and frames; bag - left, tolerance (see
    StereoBag); video - stacking, rate; folders - rate, disparity; CSV list -
    rate, root, columns.
    Raises ValueError or OSError (ImportError without MuJoCo), in one sentence, if it cannot be
    opened or its calibration is meaningless (calibration_errors).
    """
    options = {name: value for name, value in options.items() if value is not None}
    kind, arguments = _source(str(spec))
    if calibration is not None:
        options['calibration'] = calibration
    wrong = sorted(options.keys() - set(kind.OPTIONS))
    if wrong and kind is not SimulatorSource:  # whose options VirtualEndoscope checks
        raise ValueError(
            f'{", ".join(wrong)} cannot be given with {spec}; possible: {", ".join(kind.OPTIONS)}'
        )
    source = kind(*arguments, **options)
    errors = calibration_errors(source.calibration) if source.calibration else []
    if errors:
        source.close()
        origin = calibration if isinstance(calibration, str | Path) else source.name
        raise ValueError(f'calibration of {origin}: {errors[0]}')
    return source


def open_left(
    spec: str | Path, calibration: Calibration | None = None, **options: Any
) -> FrameSource:
    """Open what `spec` names for those who look at the left image only; as open_source.

    Besides, `spec` may be an image, a folder of images (without left/) or a video of one eye
    (unless its shape is that of two, or `stacking` says so): such frames have the image twice.
    """
    path = Path(spec)
    one_eye = path.is_dir() and not is_bag(path) and not (path / 'left').is_dir()
    if one_eye or path.is_file() and path.suffix.lower() in IMAGES:
        spec = f'{path},{path}'
    elif path.suffix.lower() in SUFFIXES and not options.get('stacking'):
        options['stacking'] = told_stacking(*video_size(path)) or 'mono'
    return open_source(spec, calibration, **options)


def _source(spec: str) -> tuple[type[FrameSource], list[Any]]:
    """Class and positional arguments of the source that `spec` names."""
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
    if path.is_dir():
        return FolderSource, [path / 'left', path / 'right']
    if not path.exists() and spec.count(',') == 1:
        return FolderSource, [Path(part.strip()) for part in spec.split(',')]
    if not path.exists():
        raise FileNotFoundError(f'{spec} is not there; a source is {_SPECS}')
    raise ValueError(f'{spec} is no source of stereo frames; expected {_SPECS}')
