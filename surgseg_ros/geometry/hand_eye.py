"""Camera from robot base without a marker: points seen by the camera, poses reported by the arm.

Model: v_i = X (T_i o) + noise, with v_i the instrument's control point in the camera frame, T_i
the arm's pose (base from control point frame), and unknown X (camera from base) and o (where the
seen point lies in the control point frame: 0 if both mean the same point). The start is Umeyama,
Least-squares estimation of transformation parameters between two point patterns, TPAMI 1991,
inside RANSAC; then all parameters are refined together, each residual weighted by its covariance.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

MINIMUM = 4  # pairs: three points give a rotation, the fourth tells whether it is right
OFFSET_PRIOR = 0.05  # m, standard deviation of each coordinate of the offset before any pair
MOST_SIGMA = {'rotation': np.radians(10.0), 'translation': 0.02, 'offset': 0.01}  # rad, m, m
# m, of each coordinate: what a transform does not absorb of the errors of the arm's kinematics
ARM_SIGMA = 0.001
_LEAST_MOTION = 0.004  # m, standard deviation of the positions across their main direction
_ROUNDS = 200  # of RANSAC
_BLOCKS = {'rotation': slice(0, 3), 'translation': slice(3, 6), 'offset': slice(6, 9)}


@dataclass(frozen=True)
class Pairs:
    """n simultaneous observations.

    points: n x 3 m, camera frame, of the control point as seen. covariances: n x 3 x 3 m^2.
    poses: n x 4 x 4, robot base from control point frame, m, as the arm reports them.
    """

    points: np.ndarray
    covariances: np.ndarray
    poses: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def subset(self, chosen: np.ndarray) -> 'Pairs':
        """The pairs that n booleans or indices choose."""
        return Pairs(self.points[chosen], self.covariances[chosen], self.poses[chosen])


@dataclass(frozen=True)
class Registration:
    """camera_from_base: 4x4, m. offset: (3,) m, of the seen point in the control point frame.

    covariance: 9x9 of rotation vector about the camera's axes (rad), translation and offset (m).
    residuals: n x 3 m, seen minus predicted, camera frame. inliers: n booleans.
    """

    camera_from_base: np.ndarray
    offset: np.ndarray
    covariance: np.ndarray = field(default_factory=lambda: np.zeros((9, 9)))
    residuals: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    inliers: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def predict(self, poses: np.ndarray) -> np.ndarray:
        """n x 3 m, camera frame: where the point is seen for n x 4 x 4 poses of the arm."""
        points = poses[:, :3, :3] @ self.offset + poses[:, :3, 3]
        seen: np.ndarray = points @ self.camera_from_base[:3, :3].T + self.camera_from_base[:3, 3]
        return seen


def register(pairs: Pairs, gate: float = 0.01, offset: np.ndarray | None = None) -> Registration:
    """Estimate camera from base, and the offset unless it is given.

    gate: m, distance beyond which a pair is an outlier.
    Raises ValueError for fewer than MINIMUM pairs, motion that does not show a direction (which it
    names), mirrored axes, and too few pairs that agree.
    """
    if len(pairs) < MINIMUM:
        raise ValueError(f'{len(pairs)} pairs of poses, expected at least {MINIMUM}')
    _check_motion(pairs)
    _check_handedness(pairs, gate)
    inliers = _consensus(pairs, gate, offset)
    if inliers.sum() < max(MINIMUM, (len(pairs) + 1) // 2):
        raise ValueError(
            f'only {inliers.sum()} of {len(pairs)} pairs agree within {1000 * gate:g} mm: is it '
            'the arm that holds this instrument, and do both clocks agree?'
        )
    chosen = pairs.subset(inliers)
    found = _refine(chosen, linear_fit(chosen, offset, rounds=200), offset)
    _check_observability(found, offset is None)
    residuals = pairs.points - found.predict(pairs.poses)
    return Registration(found.camera_from_base, found.offset, found.covariance, residuals, inliers)


def leave_one_out(
    pairs: Pairs, gate: float = 0.01, offset: np.ndarray | None = None
) -> np.ndarray:
    """n distances, m, between each seen point and its prediction from all other pairs."""
    indices = np.arange(len(pairs))
    return np.array(
        [
            float(
                np.linalg.norm(
                    register(pairs.subset(indices != one), gate, offset).predict(
                        pairs.poses[one : one + 1]
                    )[0]
                    - pairs.points[one]
                )
            )
            for one in indices
        ]
    )


def rigid_transform(source: np.ndarray, target: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """4x4 that moves n x 3 points onto others, least squares, without scale (Umeyama, eq. 40-43).

    mirrored: the best reflection instead of the best rotation.
    """
    centre, goal = source.mean(0), target.mean(0)
    U, _, V = np.linalg.svd((target - goal).T @ (source - centre))
    sign = np.sign(np.linalg.det(U @ V)) * (-1.0 if mirrored else 1.0)
    T = np.eye(4)
    T[:3, :3] = U @ np.diag([1.0, 1.0, sign]) @ V
    T[:3, 3] = goal - T[:3, :3] @ centre
    return T


def _consensus(pairs: Pairs, gate: float, offset: np.ndarray | None) -> np.ndarray:
    """RANSAC: n booleans, the pairs that agree with the best of many small samples."""
    rng = np.random.default_rng(0)
    size = min(len(pairs), 6 if offset is None else MINIMUM)
    inliers = np.zeros(len(pairs), bool)
    for _ in range(_ROUNDS):
        chosen = rng.choice(len(pairs), size, replace=False)
        candidate = linear_fit(pairs.subset(chosen), offset)
        agree = _distances(candidate, pairs) < gate
        if agree.sum() > inliers.sum():
            inliers = agree
        if inliers.all():
            break
    return inliers


def linear_fit(pairs: Pairs, offset: np.ndarray | None, rounds: int = 10) -> Registration:
    """Fit without weights: rotation and translation for an offset, the offset for these, again.

    offset: (3,) m, known; None estimates it, weakly held at 0. The covariance is not filled.
    """
    found = np.zeros(3) if offset is None else offset
    for _ in range(rounds if offset is None else 1):
        R = pairs.poses[:, :3, :3]
        X = rigid_transform(R @ found + pairs.poses[:, :3, 3], pairs.points)
        if offset is None:
            rows = np.concatenate([*(X[:3, :3] @ R), 0.01 * np.eye(3)])
            left = pairs.points - X[:3, 3] - pairs.poses[:, :3, 3] @ X[:3, :3].T
            found = np.linalg.lstsq(rows, np.concatenate([left.ravel(), np.zeros(3)]))[0]
    return Registration(X, found)


def _refine(pairs: Pairs, start: Registration, offset: np.ndarray | None) -> Registration:
    """All parameters together, whitened by the covariances of both sides; Huber's loss."""
    covariances = pairs.covariances + ARM_SIGMA**2 * np.eye(3)
    whiten = np.linalg.inv(np.linalg.cholesky(covariances))
    R0 = start.camera_from_base[:3, :3]

    def unpack(x: np.ndarray) -> Registration:
        X = np.eye(4)
        X[:3, :3], X[:3, 3] = Rotation.from_rotvec(x[:3]).as_matrix() @ R0, x[3:6]
        return Registration(X, x[6:] if offset is None else offset)

    def residuals(x: np.ndarray) -> np.ndarray:
        found = unpack(x)
        apart = np.einsum('nij,nj->ni', whiten, pairs.points - found.predict(pairs.poses))
        return np.concatenate([apart.ravel(), found.offset / OFFSET_PRIOR])

    free = start.offset if offset is None else np.zeros(0)
    x0 = np.concatenate([np.zeros(3), start.camera_from_base[:3, 3], free])
    solution = least_squares(residuals, x0, loss='huber', x_scale='jac')
    found = unpack(solution.x)
    # larger residuals than the covariances say, as of a kit's kinematics, widen the result
    surplus = max(1.0, 2 * solution.cost / max(1, 3 * len(pairs) - len(x0)))
    covariance = np.zeros((9, 9))
    count = len(x0)
    covariance[:count, :count] = surplus * np.linalg.pinv(solution.jac.T @ solution.jac)
    return Registration(found.camera_from_base, found.offset, covariance)


def _distances(registration: Registration, pairs: Pairs) -> np.ndarray:
    return np.asarray(np.linalg.norm(pairs.points - registration.predict(pairs.poses), axis=1))


def _check_motion(pairs: Pairs) -> None:
    """Refuse positions that lie in one place or on one line."""
    positions = pairs.poses[:, :3, 3]
    _, spreads, axes = np.linalg.svd(positions - positions.mean(0))
    spreads = spreads / np.sqrt(len(pairs))
    if spreads[0] < _LEAST_MOTION:
        raise ValueError(
            f'the arm moved by {1000 * spreads[0]:.1f} mm only (standard deviation), expected '
            f'{1000 * _LEAST_MOTION:g} mm or more in two directions at least'
        )
    if spreads[1] < _LEAST_MOTION:
        raise ValueError(
            f'the arm moved along {_direction(axes[0])} of its base only, so that the rotation '
            f'about this direction is unknown: move it {1000 * _LEAST_MOTION:g} mm or more along '
            f'{_direction(axes[1])} or {_direction(axes[2])}, too'
        )


def _check_handedness(pairs: Pairs, gate: float) -> None:
    """Say it if only a mirrored frame explains the pairs."""
    positions = pairs.poses[:, :3, 3]
    errors = {}
    for mirrored in (False, True):
        X = rigid_transform(positions, pairs.points, mirrored)
        apart = pairs.points - positions @ X[:3, :3].T - X[:3, 3]
        errors[mirrored] = np.median(np.linalg.norm(apart, axis=1))
    if errors[True] < gate and errors[True] < 0.3 * errors[False]:
        raise ValueError(
            'the axes of one side are mirrored: a reflection explains the pairs, and no rotation '
            'does; expected right-handed frames, left optical (x right, y down) and base'
        )


def _check_observability(found: Registration, estimated_offset: bool) -> None:
    """Refuse a result with a direction that the motion did not show."""
    for name, most in MOST_SIGMA.items():
        block = _BLOCKS[name]
        values, vectors = np.linalg.eigh(found.covariance[block, block])
        if np.sqrt(values[-1]) <= most or (name == 'offset' and not estimated_offset):
            continue
        where = 'control point frame' if name == 'offset' else 'camera'
        about = 'about' if name == 'rotation' else 'along'
        cure = 'move the arm further in more directions'
        if estimated_offset:
            cure = 'turn the instrument about more axes, or give the offset'
        raise ValueError(
            f'the motion does not show the {name} {about} {_direction(vectors[:, -1])} of the '
            f'{where}: {cure}'
        )


def _direction(axis: np.ndarray) -> str:
    """An axis in words: 'x', or its coordinates."""
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    near = int(np.argmax(axis))
    if axis[near] > 0.95:
        return 'xyz'[near]
    return '(' + ', '.join(f'{value:.2f}' for value in axis) + ')'
