"""Rigid transforms and quaternions, and the two ways to name an endoscope's axes.

ROS (REP-103) optical: x right, y down, z forward. Intuitive's (ISI), in which the da Vinci
Research Kit gives poses seen by a camera: x left, y up, z forward: half a turn about z.
Quaternions are x, y, z, w; by tf_transformations where that is installed, else by scipy.
"""

import numpy as np

try:
    from tf_transformations import quaternion_from_matrix as _from_matrix
    from tf_transformations import quaternion_matrix as _to_matrix
except ImportError:
    from scipy.spatial.transform import Rotation

    def _from_matrix(matrix: np.ndarray) -> np.ndarray:
        return np.asarray(Rotation.from_matrix(matrix[:3, :3]).as_quat())

    def _to_matrix(quaternion: np.ndarray) -> np.ndarray:
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
        return matrix


ISI_FROM_OPTICAL = np.diag([-1.0, -1.0, 1.0, 1.0])  # 4x4; its own inverse


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(4,) x, y, z, w with w >= 0 of a 4x4 or 3x3 rotation."""
    full = np.eye(4)
    full[:3, :3] = matrix[:3, :3]
    quaternion = np.asarray(_from_matrix(full), np.float64)
    return -quaternion if quaternion[3] < 0 else quaternion


def matrix_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """4x4 rotation of x, y, z, w; ValueError where that is no rotation."""
    length = float(np.linalg.norm(quaternion))
    if not abs(length - 1.0) < 0.1:
        raise ValueError(f'the quaternion {np.round(quaternion, 3).tolist()} is not of length 1')
    return np.asarray(_to_matrix(np.asarray(quaternion, np.float64) / length))


def transform(position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    """4x4 of a translation (m) and x, y, z, w."""
    matrix = matrix_from_quaternion(quaternion)
    matrix[:3, 3] = position
    return matrix


def slerp(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Quaternion a share of the shorter way from one to the other."""
    cosine = float(one @ other)
    if cosine < 0:
        other, cosine = -other, -cosine
    if cosine > 1 - 1e-9:
        mixed = one + share * (other - one)
    else:
        angle = np.arccos(cosine)
        mixed = np.sin((1 - share) * angle) * one + np.sin(share * angle) * other
    return np.asarray(mixed / np.linalg.norm(mixed))
