"""Transforms over time, as tf2 gives them: chains, interpolation, age, static ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from surgseg_ros.geometry.transform_buffer import TransformBuffer, TransformError
from surgseg_ros.geometry.transforms import (
    ISI_FROM_OPTICAL,
    matrix_from_quaternion,
    quaternion_from_matrix,
)

SECOND = 1_000_000_000


def turn(axis: str, degrees: float) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_quat()


@pytest.fixture
def buffer() -> TransformBuffer:
    """base -> camera moves and turns between 1 s and 3 s; camera -> isi is static."""
    buffer = TransformBuffer()
    buffer.add('base', 'camera', 1 * SECOND, np.array([0.0, 0, 0]), turn('z', 0))
    buffer.add('/base', '/camera', 3 * SECOND, np.array([0.2, 0, 0]), turn('z', 90))
    static = quaternion_from_matrix(np.linalg.inv(ISI_FROM_OPTICAL))
    buffer.add('camera', 'isi', 0, np.zeros(3), static, static=True)
    return buffer


def test_interpolates_between_two_stamps(buffer):
    found = buffer.lookup('base', 'camera', 2 * SECOND)
    np.testing.assert_allclose(found[:3, 3], (0.1, 0, 0), atol=1e-12)
    expected = Rotation.from_euler('z', 45, degrees=True).as_matrix()
    np.testing.assert_allclose(found[:3, :3], expected, atol=1e-12)


def test_chains_go_up_and_down(buffer):
    buffer.add('base', 'table', 1 * SECOND, np.array([0.0, 1, 0]), turn('x', 30))
    buffer.add('base', 'table', 3 * SECOND, np.array([0.0, 1, 0]), turn('x', 30))
    there = buffer.lookup('table', 'isi', 2 * SECOND)
    back = buffer.lookup('isi', 'table', 2 * SECOND)
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-12)
    by_hand = np.linalg.inv(buffer.lookup('base', 'table', 2 * SECOND)) @ buffer.lookup(
        'base', 'isi', 2 * SECOND
    )
    np.testing.assert_allclose(there, by_hand, atol=1e-12)


def test_isi_is_half_a_turn_both_ways(buffer):
    point = np.array([0.01, 0.02, 0.07, 1.0])  # right of, below and before the camera
    for target, source in (('isi', 'camera'), ('camera', 'isi')):
        found = buffer.lookup(target, source, 12345) @ point
        np.testing.assert_allclose(found, (-0.01, -0.02, 0.07, 1.0), atol=1e-12)


@pytest.mark.parametrize('stamp, word', [(SECOND // 2, 'before'), (4 * SECOND, 'after')])
def test_no_extrapolation(buffer, stamp, word):
    with pytest.raises(TransformError, match=f's {word} all that is known'):
        buffer.lookup('base', 'camera', stamp)


def test_newest_and_age(buffer):
    np.testing.assert_allclose(buffer.lookup('base', 'isi', 0)[:3, 3], (0.2, 0, 0), atol=1e-12)
    assert buffer.age('base', 'isi', 5 * SECOND) == pytest.approx(2.0)
    assert buffer.age('camera', 'isi', 5 * SECOND) == 0.0


def test_unconnected_frames_and_nonsense_are_said(buffer):
    with pytest.raises(TransformError, match='nothing connects the frames moon and base'):
        buffer.lookup('base', 'moon', SECOND)
    with pytest.raises(ValueError, match='not of length 1'):
        buffer.add('base', 'x', SECOND, np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match='means nothing'):
        buffer.add('base', 'base', SECOND, np.zeros(3), turn('x', 0))


def test_quaternions_there_and_back():
    random = np.random.default_rng(1)
    for quaternion in Rotation.random(20, random_state=random).as_quat():
        matrix = matrix_from_quaternion(quaternion)
        np.testing.assert_allclose(
            matrix[:3, :3], Rotation.from_quat(quaternion).as_matrix(), atol=1e-12
        )
        found = quaternion_from_matrix(matrix)
        assert found[3] >= 0
        np.testing.assert_allclose(abs(found @ quaternion), 1.0, atol=1e-12)
