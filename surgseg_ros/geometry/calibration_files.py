"""Read the calibration files that come with surgical stereo data, write ROS camera_info YAML.

Every reader (calibration_formats) returns a StereoCalibration in metres; what a file cannot be is
one ValueError that names the file and what was expected in it.
"""

from pathlib import Path

import numpy as np
import yaml

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.geometry import calibration_formats as formats
from surgseg_ros.geometry.calibration_formats import Size

# Pairs of files in a folder, the file that has one of both, and the name of a single file.
_PAIRS = (
    ('left.yaml', 'right.yaml'),
    ('intrinsics.yml', 'extrinsics.yml'),
    ('intrinsics.yaml', 'extrinsics.yaml'),
    ('intrinsics.xml', 'extrinsics.xml'),
)
_SINGLE = ('endoscope_calibration.yaml', 'camera_calibration.txt', 'camchain*.yaml')
_EXPECTED = (
    'ROS camera_info YAML (camera_matrix: ...), OpenCV YAML, XML or JSON (K1, D1, K2, D2, R, T), '
    "EndoVis 2018 text (Camera-0-F: ...), Kalibr's camchain, SCARED's frame data or a folder of "
    'UCL text'
)


def read_calibration(
    path: str | Path, right: str | Path | None = None, size: Size | None = None
) -> StereoCalibration:
    """Read a stereo calibration; the format is detected from the content.

    path: one of
      - ROS camera_info YAML of the left camera, with that of the right camera in `right`
        (or a folder with left.yaml and right.yaml, as write_camera_info makes it);
      - OpenCV YAML, XML or JSON with K1 (or M1), D1, K2 (or M2), D2, R, T and optionally R1, R2,
        P1, P2, in one file or, as its sample stereo_calib writes them, in two (intrinsics in
        `path`, extrinsics in `right`, or a folder with both); T shorter than 0.5 is in metres,
        otherwise in millimetres;
      - EndoVis 2018 text (Camera-0-F: ... Extrinsic-T: ..., millimetres);
      - Kalibr's camchain YAML (cam0 the left, cam1 the right camera, metres);
      - SCARED's frame data, JSON (camera-calibration: KL, DL, KR, DR, R, T);
      - the folder of a UCL text set (calib.left.intrinsic.txt ... calib.r2l.txt, or
        NAME.left.intrinsics.txt ... NAME.l2r.txt, millimetres).
    size: (width, height) of the images in px, needed where the file does not state it (OpenCV,
      SCARED, UCL); where it does, the two must agree.

    Raises ValueError (unusable content) or FileNotFoundError, in one sentence.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, size)
    if path.suffix.lower() == '.mat':
        raise ValueError(formats.of_matlab(path))
    return _read_file(path, None if right is None else Path(right), size)


def _read_file(path: Path, right: Path | None, size: Size | None) -> StereoCalibration:
    text = formats.text_of(path)
    if formats.is_opencv(text):
        return formats.read_opencv([path] if right is None else [path, right], size)
    for belongs, read in formats.SINGLE_FILES:
        if belongs(text):
            return read(path, text, size)
    if 'camera_matrix' in text:
        return formats.read_camera_info(path, right, size)
    if formats.is_matlab(text):
        raise ValueError(formats.of_matlab(path))
    raise ValueError(f'{path} is not a stereo calibration: expected {_EXPECTED}')


def _read_folder(folder: Path, size: Size | None) -> StereoCalibration:
    for one, other in _PAIRS:
        if (folder / one).is_file():
            return _read_file(folder / one, folder / other, size)
    for pattern in _SINGLE:
        for path in sorted(folder.glob(pattern))[:1]:
            return _read_file(path, None, size)
    if found := formats.ucl_files(folder):
        return formats.read_ucl(found, size)
    pairs = ', '.join(f'{one} and {other}' for one, other in _PAIRS)
    raise ValueError(
        f'{folder} holds no calibration: expected {pairs}, or the UCL set '
        f'{", ".join(formats.UCL_NAMES)}'
    )


def write_camera_info(calibration: StereoCalibration, folder: str | Path) -> tuple[Path, Path]:
    """Write left.yaml and right.yaml in the format of camera_calibration_parsers; return both."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / 'left.yaml', folder / 'right.yaml'
    for path, camera in zip(paths, (calibration.left, calibration.right), strict=True):
        content = {
            'image_width': camera.width,
            'image_height': camera.height,
            'camera_name': path.stem,
            'camera_matrix': _yaml_matrix(camera.K),
            'distortion_model': camera.distortion_model,
            'distortion_coefficients': _yaml_matrix(np.atleast_2d(camera.D)),
            'rectification_matrix': _yaml_matrix(camera.R),
            'projection_matrix': _yaml_matrix(camera.P),
        }
        path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None))
    return paths


def _yaml_matrix(matrix: np.ndarray) -> dict[str, object]:
    rows, cols = matrix.shape
    return {'rows': rows, 'cols': cols, 'data': [float(value) for value in matrix.ravel()]}
