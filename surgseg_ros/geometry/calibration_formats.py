"""One reader per format of stereo calibrations; see calibration_files.read_calibration.

ROS:        docs.ros.org/en/api/camera_calibration_parsers
OpenCV:     samples/cpp/stereo_calib.cpp, cv::FileStorage
Kalibr:     github.com/ethz-asl/kalibr/wiki/yaml-formats
EndoVis 18: camera_calibration.txt of each sequence
SCARED:     frame_data of a keyframe's video (Allan et al., arXiv:2101.01133)
UCL:        scikit-surgerysurfacematch's test data, scikit-surgerycalibration's results
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import yaml

from surgseg_ros.frames.calibration import CameraModel, StereoCalibration
from surgseg_ros.frames.foreign import parse_json, parse_yaml, read_text
from surgseg_ros.geometry.extrinsics import calibration_from_extrinsics

Size = tuple[int, int]
Content = dict[str, Any]  # values of a file by their names, in the types of its format

_NUMBER = r'[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?'
# The baseline of an endoscope is far below 0.5 m and far above 0.5 mm.
_METRES_BELOW = 0.5
UCL_NAMES = (
    'calib.left.intrinsic.txt',
    'calib.left.distortion.txt',
    'calib.right.intrinsic.txt',
    'calib.right.distortion.txt',
    'calib.r2l.txt',
)
_MATLAB = ('stereoParam', 'CameraParameters1', 'IntrinsicMatrix', 'TranslationOfCamera2')
_SIZE_KEYS = (('image_width', 'image_height'), ('imageWidth', 'imageHeight'), ('width', 'height'))
_SIZE_LISTS = ('image_size', 'imageSize', 'image_Size', 'size', 'resolution')


# ROS.


def read_camera_info(left: Path, right: Path | None, size: Size | None) -> StereoCalibration:
    """camera_info YAML of two cameras."""
    if right is None:
        raise ValueError(f'{left} is the camera_info of one camera: give that of the right too')
    return StereoCalibration(_read_camera(left, size), _read_camera(right, size))


def _read_camera(path: Path, size: Size | None) -> CameraModel:
    content = _yaml(path, text_of(path))
    try:
        D = _data(content, 'distortion_coefficients', (-1,))
        camera = CameraModel(
            int(content['image_width']),
            int(content['image_height']),
            _data(content, 'camera_matrix', (3, 3)),
            D,
            _data(content, 'rectification_matrix', (3, 3)),
            _data(content, 'projection_matrix', (3, 4)),
            _lens(content) or content.get('distortion_model', 'plumb_bob'),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f'{path} is not ROS camera_info YAML ({error!r}): expected image_width, '
            'image_height, camera_matrix, distortion_coefficients, '
            'rectification_matrix and projection_matrix'
        ) from None
    _check_part_of_sensor(path, content)
    _same_size(path, (camera.width, camera.height), size)
    return camera


def _data(content: Content, key: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.array(content[key]['data'], dtype=np.float64).reshape(shape)


def _lens(content: Content) -> str | None:
    """'equidistant' where any entry of a file says that the lens is a fisheye, else None."""
    said = ' '.join(f'{key} {value}' for key, value in content.items() if isinstance(value, str))
    words = r'\b(fisheye|equidistant|kannala\w*)\b(?! (0|false|no)\b)'
    return 'equidistant' if re.search(words, said.lower()) else None


def _check_part_of_sensor(path: Path, content: Content) -> None:
    """Refuse binning and regions of interest: K and P would be those of the whole sensor."""
    binned = [int(float(content.get(f'binning_{axis}') or 0)) for axis in 'xy']
    region = content.get('roi')
    offset = [int(float(region.get(f'{axis}_offset') or 0)) for axis in 'xy'] if region else [0]
    if max(binned) > 1 or max(offset) > 0:
        raise ValueError(
            f'{path} is for a binned image or a region of interest (binning, roi), which is not '
            'supported: give the camera_info of the images as they are'
        )


# OpenCV.


def is_opencv(text: str) -> bool:
    """Whether this is YAML, XML or JSON of cv::FileStorage, or has its keys."""
    words = ('%YAML:1.0', 'opencv-matrix', '<opencv_storage')
    return any(word in text for word in words) or bool(
        re.search(r'(^|[{,])\s*["\']?[KM]1["\']?\s*:', text, re.MULTILINE)
    )


def read_opencv(paths: Sequence[Path], size: Size | None) -> StereoCalibration:
    """One file, or that of the intrinsics and that of the extrinsics."""
    content: Content = {}
    for path in paths:
        content |= _opencv_content(path, text_of(path))
    path = paths[0]
    matrices = {name: value for name, value in content.items() if isinstance(value, np.ndarray)}

    def get(*names: str, shape: tuple[int, ...] = (3, 3)) -> np.ndarray:
        for name in names:
            if name in matrices:
                return _reshaped(path, name, matrices[name], shape)
        raise ValueError(
            f'{" and ".join(map(str, paths))} has no {" or ".join(names)}: expected OpenCV YAML, '
            'XML or JSON with K1 (or M1), D1, K2 (or M2), D2, R and T'
        )

    _check_part_of_sensor(path, content)
    size = _agreed(path, _stated_size(content), size)
    lens = _lens(content) or 'plumb_bob'
    K = get('K1', 'M1'), get('K2', 'M2')
    D = get('D1', shape=(-1,)), get('D2', shape=(-1,))
    R, T = get('R'), get('T', shape=(3,))
    scale = 1.0 if np.linalg.norm(T) < _METRES_BELOW else 1e-3
    found = _rectified(path, K, D, R, T * scale, size, -1, lens)
    if not {'R1', 'R2', 'P1', 'P2'} <= matrices.keys():
        return found
    P = get('P1', shape=(3, 4)), get('P2', shape=(3, 4))
    for projection in P:
        projection[:, 3] *= scale
    models = found.left.distortion_model, found.right.distortion_model
    return StereoCalibration(
        CameraModel(*size, K[0], D[0], get('R1'), P[0], models[0]),
        CameraModel(*size, K[1], D[1], get('R2'), P[1], models[1]),
    )


def _opencv_content(path: Path, text: str) -> Content:
    """What is at the top of a file: matrices as float64 arrays, the rest as it is."""
    if '<opencv_storage' in text:
        return _xml(path, text)
    content = _json(path, text) if text.lstrip().startswith('{') else _opencv_yaml(path, text)
    try:
        return {name: _as_matrix(node) for name, node in content.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path} has a matrix that is not numbers: {error}') from None


def _opencv_yaml(path: Path, text: str) -> Content:
    return _yaml(path, text.replace('%YAML:1.0', '', 1))


def _as_matrix(node: object) -> object:
    """An opencv-matrix, or nested lists of numbers, as an array."""
    if isinstance(node, dict) and 'data' in node:
        return np.array(node['data'], dtype=np.float64)
    if isinstance(node, list) and node and isinstance(node[0], list):
        return np.array(node, dtype=np.float64)
    return node


def _xml(path: Path, text: str) -> Content:
    if '<!' in text.replace('<!--', ''):
        raise ValueError(f'{path} has a document type or entities, which no calibration needs')
    try:
        nodes = list(ElementTree.fromstring(text))
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is not valid XML: {error}') from None
    content: Content = {}
    for node in nodes:
        words = (node.findtext('data') or node.text or '').split()
        is_matrix = node.get('type_id') in ('opencv-matrix', 'opencv-nd-matrix')
        try:
            content[node.tag] = np.array(words, dtype=np.float64) if is_matrix else ' '.join(words)
        except ValueError:
            raise ValueError(f'{path} has a matrix {node.tag} that is not numbers') from None
    return content


def _stated_size(content: Content) -> Size | None:
    """(width, height) in px where a file says it."""
    for width, height in _SIZE_KEYS:
        if width in content and height in content:
            return int(float(content[width])), int(float(content[height]))
    for name in _SIZE_LISTS:
        value = content.get(name)
        words = value.split() if isinstance(value, str) else value
        if isinstance(words, list | np.ndarray) and len(words) == 2:
            return int(float(words[0])), int(float(words[1]))
    return None


# EndoVis 2018.


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


# Kalibr.


def _read_kalibr(path: Path, text: str, size: Size | None) -> StereoCalibration:
    """camchain: cam1's T_cn_cnm1 takes coordinates of cam0 to those of cam1, m."""
    content = _yaml(path, text)
    if not {'cam0', 'cam1'} <= content.keys() or 'cam2' in content:
        names = ', '.join(name for name in content if name.startswith('cam'))
        raise ValueError(f'{path} has the cameras {names}: expected cam0 (left), cam1 (right)')
    try:
        cameras = [_kalibr_camera(path, content[name]) for name in ('cam0', 'cam1')]
        pose = np.array(content['cam1']['T_cn_cnm1'], np.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(
            f"{path} is not Kalibr's camchain ({error!r}): expected camera_model, intrinsics, "
            'distortion_model, distortion_coeffs, resolution, and T_cn_cnm1 of cam1'
        ) from None
    (K1, D1, stated, lens), (K2, D2, other_size, other_lens) = cameras
    if lens != other_lens or stated != other_size:
        raise ValueError(f'{path}: cam0 and cam1 have different lenses or resolutions')
    _same_size(path, stated, size)
    return _rectified(path, (K1, K2), (D1, D2), pose[:3, :3], pose[:3, 3], stated, -1, lens)


def _kalibr_camera(path: Path, camera: Content) -> tuple[np.ndarray, np.ndarray, Size, str]:
    """K, D, resolution and lens of one camera."""
    lenses = {'radtan': 'plumb_bob', 'none': 'plumb_bob', 'equidistant': 'equidistant'}
    model, lens = camera['camera_model'], camera.get('distortion_model', 'none')
    if model != 'pinhole' or lens not in lenses:
        raise ValueError(
            f'{path} has camera model {model} with distortion {lens}: expected pinhole with '
            'radtan or equidistant'
        )
    fx, fy, cx, cy = np.array(camera['intrinsics'], np.float64)
    D = np.array(camera.get('distortion_coeffs') or [0.0] * 4, np.float64)
    width, height = (int(value) for value in camera['resolution'])
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), D, (width, height), lenses[lens]


# SCARED.


def _read_scared(path: Path, text: str, size: Size | None) -> StereoCalibration:
    """frame_data JSON: OpenCV's matrices under other names."""
    cameras = _json(path, text)['camera-calibration']
    shapes = {'KL': (3, 3), 'DL': (-1,), 'KR': (3, 3), 'DR': (-1,), 'R': (3, 3), 'T': (3,)}
    try:
        values = {key: np.array(cameras[key], np.float64) for key in shapes}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not SCARED's frame data ({error!r}): expected camera-calibration with "
            + ', '.join(shapes)
        ) from None
    KL, DL, KR, DR, R, T = (
        _reshaped(path, key, values[key], shape) for key, shape in shapes.items()
    )
    scale = 1.0 if np.linalg.norm(T) < _METRES_BELOW else 1e-3
    return _rectified(path, (KL, KR), (DL, DR), R, T * scale, _agreed(path, None, size))


# UCL.


def ucl_files(folder: Path) -> list[Path]:
    """Intrinsics and distortion of left and right and the pose between them; [] if not there."""
    for pose in sorted([*folder.glob('*.r2l.txt'), *folder.glob('*.l2r.txt')]):
        prefix = pose.name.split('.')[0]
        found = [
            next(iter(sorted(folder.glob(f'{prefix}.{side}.{what}*.txt'))), None)
            for side in ('left', 'right')
            for what in ('intrinsic', 'distortion')
        ]
        files = [path for path in found if path]
        if len(files) == len(found):
            return [*files, pose]
    return []


def read_ucl(files: Sequence[Path], size: Size | None) -> StereoCalibration:
    """ucl_files(); *.r2l takes RIGHT camera coordinates to left, *.l2r the left to right; mm."""
    shapes = ((3, 3), (-1,), (3, 3), (-1,), (4, 4))
    K1, D1, K2, D2, pose = (
        _reshaped(path, 'matrix', _numbers(path), shape)
        for path, shape in zip(files, shapes, strict=True)
    )
    # Six printed digits are no exact rotation.
    u, _, vt = np.linalg.svd(np.nan_to_num(pose[:3, :3]))
    R, T = u @ vt, pose[:3, 3] * 1e-3
    if files[-1].name.endswith('.r2l.txt'):  # stereoRectify wants the inverse direction
        R, T = R.T, -R.T @ T
    folder = files[-1].parent
    return _rectified(folder, (K1, K2), (D1, D2), R, T, _agreed(folder, None, size))


# MATLAB.


def is_matlab(text: str) -> bool:
    """Whether MATLAB's stereoParameters were written out as text."""
    return any(word in text for word in _MATLAB)


def of_matlab(path: Path) -> str:
    """Why a file of MATLAB is not read."""
    return (
        f"{path} is MATLAB's, whose stereoParameters are not read: write K1, D1, K2, D2, R and T "
        'with stereoParametersToOpenCV into an OpenCV file (MATLAB has its matrices transposed)'
    )


# What the readers have in common.


def _rectified(path: Path, *camera_pair: Any) -> StereoCalibration:
    """calibration_from_extrinsics, whose errors name the file."""
    try:
        return calibration_from_extrinsics(*camera_pair)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _numbers(path: Path) -> np.ndarray:
    try:
        return np.array(text_of(path).split(), dtype=np.float64)
    except ValueError:
        raise ValueError(
            f'{path} holds something else than numbers: expected a matrix of the UCL text set'
        ) from None


def _reshaped(path: Path, name: str, values: np.ndarray, shape: Iterable[int]) -> np.ndarray:
    try:
        return values.reshape(tuple(shape)).copy()
    except ValueError:
        raise ValueError(
            f'{path} has {values.size} numbers in {name}: expected {" x ".join(map(str, shape))}'
        ) from None


def text_of(path: Path) -> str:
    """What a file holds; FileNotFoundError or ValueError if that is no text."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no calibration file {path}')
    try:
        return read_text(path)
    except ValueError as error:
        raise ValueError(f'{error}: expected a stereo calibration') from None


def _yaml(path: Path, text: str) -> Content:
    """Parse YAML with every scalar left a string, so that OpenCV's tags do not matter."""
    return _mapping(path, _parsed(path, lambda: parse_yaml(text, yaml.BaseLoader)))


def _json(path: Path, text: str) -> Content:
    return _mapping(path, _parsed(path, lambda: parse_json(text)))


def _parsed(path: Path, parse: Callable[[], object]) -> object:
    try:
        return parse()
    except ValueError as error:
        raise ValueError(f'{path} cannot be read: {error}') from None


def _mapping(path: Path, content: object) -> Content:
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a calibration: expected a YAML mapping')
    return content


def _agreed(path: Path, stated: Size | None, size: Size | None) -> Size:
    """The size of the images, which the file states or the caller knows."""
    if stated is not None:
        _same_size(path, stated, size)
        return stated
    if size is None:
        raise ValueError(f'{path} does not state the image size: give size=(width, height)')
    return int(size[0]), int(size[1])


def _same_size(path: Path, stated: Size, size: Size | None) -> None:
    if size is not None and tuple(size) != stated:
        raise ValueError(
            f'{path} is for images of size {stated[0]}x{stated[1]}, expected {size[0]}x{size[1]}'
        )


SINGLE_FILES: tuple[tuple[Callable[[str], bool], Callable[..., StereoCalibration]], ...] = (
    (lambda text: 'Camera-0-F' in text, _read_endovis18),
    (lambda text: 'camera-calibration' in text, _read_scared),
    (lambda text: bool(re.search(r'^cam\d+:', text, re.MULTILINE)), _read_kalibr),
)
