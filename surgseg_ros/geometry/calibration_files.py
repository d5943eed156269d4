"""Read the calibration files that come with surgical stereo data, write ROS camera_info YAML.

Every reader returns a StereoCalibration in metres; what a file cannot be is one ValueError that
names the file and what was expected in it.
"""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.geometry.calibration_checks import extrinsics_errors

Size = tuple[int, int]

_NUMBER = r'[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?'
_UCL_FILES = (
    'calib.left.intrinsic.txt',
    'calib.left.distortion.txt',
    'calib.right.intrinsic.txt',
    'calib.right.distortion.txt',
    'calib.r2l.txt',
)
# No endoscope has 0.5 m, and none has 0.5 mm, between its eyes.
_METRES_BELOW = 0.5


def read_calibration(
    path: str | Path, right: str | Path | None = None, size: Size | None = None
) -> StereoCalibration:
    """Read a stereo calibration; the format is told from the file's content.

    path: one of
      - ROS camera_info YAML of the left camera, with that of the right camera in `right`
        (or a folder with left.yaml and right.yaml, as write_camera_info makes it);
      - OpenCV YAML with K1 (or M1), D1, K2 (or M2), D2, R, T and optionally R1, R2, P1, P2;
        T shorter than 0.5 is in metres, otherwise in millimetres;
      - EndoVis 2018 text (Camera-0-F: ... Extrinsic-T: ..., millimetres);
      - the folder of a UCL text set (calib.left.intrinsic.txt ... calib.r2l.txt, millimetres).
    size: (width, height) of the images in px, needed where the file does not state it (OpenCV
      YAML, UCL); where it does, the two must agree.

    Raises ValueError (unusable content) or FileNotFoundError, in one sentence.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, size)
    text = _text(path)
    if 'Camera-0-F' in text:
        return _read_endovis18(path, text, size)
    if '%YAML:1.0' in text or 'opencv-matrix' in text:
        return _read_opencv(path, text, size)
    if 'camera_matrix' in text:
        return _read_camera_info(path, right, size)
    raise ValueError(
        f'{path} is not a stereo calibration: expected ROS camera_info YAML (camera_matrix: ...), '
        'OpenCV YAML (%YAML:1.0), EndoVis 2018 text (Camera-0-F: ...) or a folder of UCL text'
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


def calibration_from_extrinsics(
    K: tuple[np.ndarray, np.ndarray],
    D: tuple[np.ndarray, np.ndarray],
    R: np.ndarray,
    T: np.ndarray,
    size: Size,
    alpha: float = -1,
) -> StereoCalibration:
    """Rectify a calibrated pair (Bouguet's algorithm, cv2.stereoRectify).

    R 3x3, T (3,) in metres take left camera coordinates to right ones, x_r = R x_l + T.
    size: (width, height). Zero disparity at infinity. alpha -1 keeps the focal length, so that a
    rectified pixel is worth what a raw pixel was; 0 shows no pixel that was not seen, 1 all that
    were, and between. Raises ValueError, in one sentence, where this is no pair of cameras.
    """
    if errors := extrinsics_errors(K, D, R, T):
        raise ValueError(errors[0])
    R1, R2, P1, P2, *_ = cv2.stereoRectify(
        K[0],
        D[0],
        K[1],
        D[1],
        size,
        R,
        T.reshape(3, 1),
        flags=cv2.CALIB_ZERO_DISPARITY,
        alpha=alpha,
    )
    return StereoCalibration(
        CameraModel(*size, K[0], D[0], R1, P1, _distortion_model(D[0])),
        CameraModel(*size, K[1], D[1], R2, P2, _distortion_model(D[1])),
    )


def with_alpha(calibration: StereoCalibration, alpha: float) -> StereoCalibration:
    """Rectify anew the raw images that a calibration is for; see calibration_from_extrinsics."""
    left, right = calibration.left, calibration.right
    # R_l x_l and R_r x_r differ by the baseline along x, so that x_r = R x_l + T with
    R = right.R.T @ left.R
    T = right.R.T @ np.array([-calibration.baseline, 0, 0])
    size = left.width, left.height
    return calibration_from_extrinsics((left.K, right.K), (left.D, right.D), R, T, size, alpha)


def _read_folder(folder: Path, size: Size | None) -> StereoCalibration:
    if (folder / 'calib.r2l.txt').is_file():
        return _read_ucl(folder, size)
    if (folder / 'left.yaml').is_file():
        return _read_camera_info(folder / 'left.yaml', folder / 'right.yaml', size)
    raise ValueError(
        f'{folder} holds no calibration: expected left.yaml and right.yaml, or the '
        f'UCL set {", ".join(_UCL_FILES)}'
    )


def _read_camera_info(
    left: Path, right: str | Path | None, size: Size | None
) -> StereoCalibration:
    if right is None:
        raise ValueError(f'{left} is the camera_info of one camera: give that of the right too')
    return StereoCalibration(_read_camera(left, size), _read_camera(Path(right), size))


def _read_camera(path: Path, size: Size | None) -> CameraModel:
    content = _yaml(path, _text(path))
    try:
        camera = CameraModel(
            int(content['image_width']),
            int(content['image_height']),
            _from_yaml(content, 'camera_matrix', (3, 3)),
            _from_yaml(content, 'distortion_coefficients', (-1,)),
            _from_yaml(content, 'rectification_matrix', (3, 3)),
            _from_yaml(content, 'projection_matrix', (3, 4)),
            content.get('distortion_model', 'plumb_bob'),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is not ROS camera_info YAML ({error!r}): expected image_width, '
            'image_height, camera_matrix, distortion_coefficients, '
            'rectification_matrix and projection_matrix'
        ) from None
    _same_size(path, (camera.width, camera.height), size)
    return camera


def _from_yaml(content: dict[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.array(content[key]['data'], dtype=np.float64).reshape(shape)


def _yaml_matrix(matrix: np.ndarray) -> dict[str, Any]:
    rows, cols = matrix.shape
    return {'rows': rows, 'cols': cols, 'data': [float(value) for value in matrix.ravel()]}


def _read_opencv(path: Path, text: str, size: Size | None) -> StereoCalibration:
    matrices = _opencv_matrices(path, text)

    def get(*names: str, shape: tuple[int, ...] = (3, 3)) -> np.ndarray:
        for name in names:
            if name in matrices:
                return _reshaped(path, name, matrices[name], shape)
        raise ValueError(
            f'{path} has no {" or ".join(names)}: expected OpenCV YAML with '
            'K1 (or M1), D1, K2 (or M2), D2, R and T'
        )

    size = _needed(path, size)
    K = get('K1', 'M1'), get('K2', 'M2')
    D = get('D1', shape=(-1,)), get('D2', shape=(-1,))
    T = get('T', shape=(3,))
    metres = 1.0 if np.linalg.norm(T) < _METRES_BELOW else 1e-3
    if not {'R1', 'R2', 'P1', 'P2'} <= matrices.keys():
        return _rectified(path, K, D, get('R'), T * metres, size)
    P = get('P1', shape=(3, 4)), get('P2', shape=(3, 4))
    for projection in P:
        projection[:, 3] *= metres
    return StereoCalibration(
        CameraModel(*size, K[0], D[0], get('R1'), P[0], _distortion_model(D[0])),
        CameraModel(*size, K[1], D[1], get('R2'), P[1], _distortion_model(D[1])),
    )


def _opencv_matrices(path: Path, text: str) -> dict[str, np.ndarray]:
    """Every matrix at the top of an OpenCV YAML file."""
    content = _yaml(path, text.replace('%YAML:1.0', '', 1))
    try:
        return {
            name: np.array(node['data'], dtype=np.float64)
            for name, node in content.items()
            if 'data' in node
        }
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path} has a matrix that is not numbers: {error}') from None


def _yaml(path: Path, text: str) -> dict[str, Any]:
    """Parse YAML with every scalar left a string, so that OpenCV's tags do not matter."""
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'{path} is not valid YAML: {reason}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a calibration: expected a YAML mapping')
    return content


def _read_endovis18(path: Path, text: str, size: Size | None) -> StereoCalibration:
    """Challenge format; lines end in // comments, some files in lines of something else."""

    def get(key: str, count: int) -> np.ndarray:
        line = re.search(rf'^{key}:\s*((?:{_NUMBER}\s*)+)', text, re.MULTILINE)
        values = line.group(1).split() if line else []
        if len(values) < count:
            raise ValueError(
                f'{path} has no {key} with {count} numbers: expected EndoVis 2018 '
                'text (Width, Height, Camera-N-F, -C, -K, Extrinsic-Omega, -T)'
            )
        return np.array(values, dtype=np.float64)

    stated = int(get('Width', 1)[0]), int(get('Height', 1)[0])
    _same_size(path, stated, size)
    K, D = [], []
    for n in (0, 1):
        (fx, fy), (cx, cy) = get(f'Camera-{n}-F', 2)[:2], get(f'Camera-{n}-C', 2)[:2]
        K.append(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))
        D.append(get(f'Camera-{n}-K', 4)[:5])
    R, _ = cv2.Rodrigues(get('Extrinsic-Omega', 3)[:3])
    T = get('Extrinsic-T', 3)[:3] * 1e-3
    return _rectified(path, (K[0], K[1]), (D[0], D[1]), R, T, stated)


def _read_ucl(folder: Path, size: Size | None) -> StereoCalibration:
    """scikit-surgery's text files; calib.r2l.txt takes RIGHT camera coordinates to left, mm."""
    shapes = ((3, 3), (-1,), (3, 3), (-1,), (4, 4))
    K1, D1, K2, D2, right_to_left = (
        _reshaped(folder / name, 'matrix', _numbers(folder / name), shape)
        for name, shape in zip(_UCL_FILES, shapes, strict=True)
    )
    # Six printed digits are no exact rotation; stereoRectify wants the inverse direction.
    u, _, vt = np.linalg.svd(right_to_left[:3, :3])
    R = (u @ vt).T
    T = -R @ right_to_left[:3, 3] * 1e-3
    return _rectified(folder, (K1, K2), (D1, D2), R, T, _needed(folder, size))


def _rectified(path: Path, *camera_pair: Any) -> StereoCalibration:
    """calibration_from_extrinsics, whose errors name the file."""
    try:
        return calibration_from_extrinsics(*camera_pair)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _numbers(path: Path) -> np.ndarray:
    try:
        return np.array(_text(path).split(), dtype=np.float64)
    except ValueError:
        raise ValueError(
            f'{path} holds something else than numbers: expected a matrix of the UCL text set'
        ) from None


def _reshaped(path: Path, name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return values.reshape(shape).copy()
    except ValueError:
        raise ValueError(
            f'{path} has {values.size} numbers in {name}: expected {" x ".join(map(str, shape))}'
        ) from None


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f'there is no calibration file {path}')
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError:
        raise ValueError(f'{path} is not text: expected a stereo calibration') from None


def _needed(path: Path, size: Size | None) -> Size:
    if size is None:
        raise ValueError(f'{path} does not state the image size: give size=(width, height)')
    return int(size[0]), int(size[1])


def _same_size(path: Path, stated: Size, size: Size | None) -> None:
    if size is not None and tuple(size) != stated:
        raise ValueError(
            f'{path} is for images of {stated[0]}x{stated[1]}, expected {size[0]}x{size[1]}'
        )


def _distortion_model(D: np.ndarray) -> str:
    return 'plumb_bob' if D.size <= 5 else 'rational_polynomial'
