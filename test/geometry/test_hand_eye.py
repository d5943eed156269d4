"""Camera from robot base: exact pairs, noise, outliers, and motion that shows too little."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from surgseg_ros.geometry.hand_eye import Pairs, leave_one_out, register
from surgseg_ros.geometry.hand_eye_timing import Sightings, estimate_delay, pair
from surgseg_ros.geometry.pose_track import NANOSECONDS, PoseTrack

OFFSET = np.array([0.001, -0.002, 0.009])


def truth() -> np.ndarray:
    X = np.eye(4)
    X[:3, :3] = Rotation.from_euler('xyz', (150, 20, -40), degrees=True).as_matrix()
    X[:3, 3] = 0.03, -0.05, 0.25
    return X


def poses(count: int, seed: int = 0, spread: float = 0.015) -> np.ndarray:
    rng = np.random.default_rng(seed)
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.5, (count, 3))).as_matrix()
    T[:, :3, 3] = rng.normal(0, spread, (count, 3)) + (0, 0, -0.1)
    return T


def seen(T: np.ndarray, sigma: float = 0.0, offset: np.ndarray = OFFSET) -> Pairs:
    X = truth()
    points = (T[:, :3, :3] @ offset + T[:, :3, 3]) @ X[:3, :3].T + X[:3, 3]
    points = points + np.random.default_rng(1).normal(0, 1, points.shape) * sigma
    covariances = np.tile(max(sigma, 1e-4) ** 2 * np.eye(3), (len(T), 1, 1))
    return Pairs(points, covariances, T)


def test_exact_pairs_give_the_exact_transform_and_offset() -> None:
    found = register(seen(poses(8)))
    assert np.allclose(found.camera_from_base, truth(), atol=1e-4)
    assert np.allclose(found.offset, OFFSET, atol=1e-4)


def test_noise_is_within_the_covariance_that_is_stated() -> None:
    found = register(seen(poses(40), sigma=0.001))
    sigmas = np.sqrt(np.diag(found.covariance))
    turned = Rotation.from_matrix(found.camera_from_base[:3, :3] @ truth()[:3, :3].T).as_rotvec()
    errors = np.concatenate(
        [turned, found.camera_from_base[:3, 3] - truth()[:3, 3], found.offset - OFFSET]
    )
    assert (np.abs(errors) < 4 * sigmas).all()
    assert sigmas[6:].max() < 0.001


def test_outliers_are_found_and_change_nothing() -> None:
    pairs = seen(poses(12))
    pairs.points[[2, 7]] += 0.05
    found = register(pairs)
    assert np.flatnonzero(~found.inliers).tolist() == [2, 7]
    assert np.allclose(found.camera_from_base, truth(), atol=1e-4)


def test_leaving_one_out_predicts_the_pair_that_was_left_out() -> None:
    assert leave_one_out(seen(poses(8))).max() < 1e-4


def test_a_given_offset_needs_no_turning_of_the_instrument() -> None:
    T = poses(8)
    T[:, :3, :3] = np.eye(3)
    found = register(seen(T, offset=np.zeros(3)), offset=np.zeros(3))
    assert np.allclose(found.camera_from_base, truth(), atol=1e-4)


def line(T: np.ndarray) -> np.ndarray:
    T[:, 1:3, 3] = 0.0
    return T


def still(T: np.ndarray) -> np.ndarray:
    T[:, :3, 3] = T[0, :3, 3]
    return T


def unturned(T: np.ndarray) -> np.ndarray:
    T[:, :3, :3] = np.eye(3)
    return T


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (lambda T: T[:3], '3 pairs of poses, expected at least 4'),
        (still, 'the arm moved by 0.0 mm only'),
        (line, 'along x of its base only, so that the rotation'),
        (unturned, 'does not show the translation along'),
    ],
)
def test_motion_that_shows_too_little_is_refused(change, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        register(seen(change(poses(10)), sigma=0.0005))


def test_mirrored_axes_are_named() -> None:
    pairs = seen(poses(10), offset=np.zeros(3))
    pairs.points[:, 0] *= -1
    with pytest.raises(ValueError, match='mirrored'):
        register(pairs)


def test_another_arm_is_refused() -> None:
    pairs = seen(poses(12))
    with pytest.raises(ValueError, match='of 12 pairs agree within 10 mm'):
        register(Pairs(pairs.points, pairs.covariances, poses(12, seed=9, spread=0.05)))


def moving(delay: float) -> tuple[Sightings, PoseTrack]:
    seconds = np.arange(0, 20, 0.05)
    T = np.tile(np.eye(4), (len(seconds), 1, 1))
    turns = np.stack([np.sin(0.9 * seconds), np.cos(0.7 * seconds), np.sin(0.5 * seconds)], 1)
    T[:, :3, :3] = Rotation.from_rotvec(0.5 * turns).as_matrix()
    T[:, :3, 3] = 0.02 * np.stack(
        [np.sin(1.3 * seconds), np.sin(1.1 * seconds + 1), np.cos(0.8 * seconds)], 1
    )
    stamps = (seconds * NANOSECONDS).astype(np.int64)
    pairs = seen(T)
    late = stamps + int(delay * NANOSECONDS)
    return Sightings(late, pairs.points, pairs.covariances), PoseTrack.of(stamps, T)


@pytest.mark.parametrize('delay', [0.0, 0.12, -0.07])
def test_the_delay_of_the_camera_is_found(delay: float) -> None:
    sightings, track = moving(delay)
    assert estimate_delay(sightings, track) == pytest.approx(delay, abs=0.005)


def test_stamps_that_never_meet_are_named() -> None:
    sightings, track = moving(0.0)
    later = Sightings(sightings.stamps + 10**12, sightings.points, sightings.covariances)
    with pytest.raises(ValueError, match='the stamps of camera and arm never meet'):
        pair(later, track)
