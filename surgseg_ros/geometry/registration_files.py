"""Files of a registration: pairs in, the research kit's JSON and a YAML for launch files out.

The kit's forms are those that dvrk_camera_registration (0e5b0ca) writes and its viewer reads.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

from surgseg_ros.frames.foreign import parse_json, read_text
from surgseg_ros.geometry.hand_eye import Pairs, Registration

# ISI's camera axes (x left, y up) from the optical ones of ROS and OpenCV (x right, y down)
ISI_FROM_OPTICAL = np.diag([-1.0, -1.0, 1.0, 1.0])
_CLICK_SIGMA = 1.0  # px, of a clicked pixel


def read_pairs(path: Path) -> Pairs:
    """Read a JSON file with `pairs`, a list.

    Each has `pose` (4x4, base from control point, m) and `point` (3, camera frame, m), perhaps
    with `covariance` (3x3 m^2); or the clicked pixels `tip_left` and `tip_right` of a rectified
    pair whose 3x4 projections are `P_left` and `P_right` of the file.
    Raises OSError, or ValueError with the pair that does not fit.
    """
    text = read_text(path)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    entries = content.get('pairs') if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'{path} has no list "pairs"')
    made = [_read_pair(f'{path}: pair {i}', entry, content) for i, entry in enumerate(entries)]
    points, covariances, poses = (np.array(values) for values in zip(*made, strict=True))
    return Pairs(points, covariances, poses)


def kit_opencv(registration: Registration, frame: str) -> str:
    """Content of <arm>-registration-open-cv.json: camera (OpenCV axes) from base."""
    transform = registration.camera_from_base.tolist()
    base = {'reference-frame': frame, 'transform': transform}
    return '{\n"base-frame": ' + json.dumps(base) + '\n}\n'


def kit_dvrk(
    registration: Registration, frame: str, arm: str, ecm_cp: np.ndarray | None = None
) -> str:
    """Content of <arm>-registration-dVRK.json: ISI axes, to be pasted into the console's file.

    ecm_cp: 4x4, the endoscope arm's local measured_cp, m; with it the form for suj-fixed.json.
    """
    transform = ISI_FROM_OPTICAL @ registration.camera_from_base
    if ecm_cp is not None:
        return json.dumps({'name': arm, 'measured_cp': (ecm_cp @ transform).tolist()}) + '\n'
    base = {'reference-frame': frame, 'transform': transform.tolist()}
    return f'"base-frame": {json.dumps(base)}\n'


def static_transform(registration: Registration, frame: str, child: str) -> str:
    """YAML with the parameters of tf2_ros's static_transform_publisher: frame from child."""
    from scipy.spatial.transform import Rotation

    X = registration.camera_from_base
    rotation = Rotation.from_matrix(X[:3, :3]).as_quat()
    values: dict[str, object] = {'frame_id': frame, 'child_frame_id': child}
    values |= {f'translation.{axis}': float(X[i, 3]) for i, axis in enumerate('xyz')}
    values |= {f'rotation.{axis}': float(rotation[i]) for i, axis in enumerate('xyzw')}
    return str(
        yaml.safe_dump(
            {'static_transform_publisher': {'ros__parameters': values}}, sort_keys=False
        )
    )


def _read_pair(
    where: str, entry: object, content: Mapping[str, object]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not isinstance(entry, Mapping) or 'pose' not in entry:
        raise ValueError(f'{where} has no pose')
    pose = _array(where, 'pose', entry['pose'], (4, 4))
    R = pose[:3, :3]
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-3) or np.linalg.det(R) < 0:
        raise ValueError(f'{where}: the rotation of its pose is not orthonormal and right-handed')
    if 'point' in entry:
        point = _array(where, 'point', entry['point'], (3,))
        given = entry.get('covariance', (0.001**2 * np.eye(3)).tolist())
        return point, _array(where, 'covariance', given, (3, 3)), pose
    for name in ('tip_left', 'tip_right'):
        if name not in entry:
            raise ValueError(f'{where} has neither a point nor {name}')
    left, right = (_array(where, n, entry[n], (2,)) for n in ('tip_left', 'tip_right'))
    P, Q = (_array(str(where), n, content.get(n), (3, 4)) for n in ('P_left', 'P_right'))
    return *_triangulate(where, left, right, P, Q), pose


def _triangulate(
    where: str, left: np.ndarray, right: np.ndarray, P: np.ndarray, Q: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Point (m) and covariance (m^2) of the pixels of a rectified pair."""
    f, cx, cy = P[0, 0], P[0, 2], P[1, 2]
    baseline = -(Q[0, 3] - P[0, 3]) / f
    disparity = (left[0] - cx) - (right[0] - Q[0, 2])
    if not disparity > 0 or not baseline > 0:
        raise ValueError(f'{where}: its pixels have the disparity {disparity:g} px, expected > 0')
    z = f * baseline / disparity
    u, v = left[0] - cx, (left[1] + right[1]) / 2 - cy
    jacobian = (
        z
        / f
        * np.array(
            [
                [1 - u / disparity, 0.0, u / disparity],
                [-v / disparity, 1 / np.sqrt(2), v / disparity],
                [-f / disparity, 0.0, f / disparity],
            ]
        )
    )  # by u of the left image, v (mean of both), u of the right image
    return np.array([u * z / f, v * z / f, z]), _CLICK_SIGMA**2 * jacobian @ jacobian.T


def _array(where: str, name: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.array(value, float)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != shape or not np.isfinite(array).all():
        size = 'x'.join(map(str, shape))
        raise ValueError(f'{where}: {name} is not {size} finite numbers')
    return array
