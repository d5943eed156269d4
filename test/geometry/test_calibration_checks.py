import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_stereo import raw_calibration, rectified_calibration

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.geometry.calibration_checks import calibration_errors, calibration_warnings


def with_right(calibration, **changes):
    return StereoCalibration(calibration.left, replace(calibration.right, **changes))


def test_a_plausible_calibration_has_no_warning():
    assert calibration_warnings(rectified_calibration()) == []
    assert calibration_warnings(raw_calibration()) == []


@pytest.mark.parametrize('name', ['K', 'P'])
def test_uncalibrated_camera(name):
    good = rectified_calibration()
    bad = with_right(good, **{name: np.zeros_like(getattr(good.right, name))})
    assert calibration_warnings(bad) == ['the right camera is uncalibrated (K or P is all zero)']


@pytest.mark.parametrize('name', 'KDRP')
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_what_is_no_number(name, value):
    good = rectified_calibration()
    values = getattr(good.right, name).copy()
    values.flat[-1] = value
    bad = with_right(good, **{name: values})
    said = [f'{name} of the right camera has values that are not finite']
    assert calibration_errors(bad) == calibration_warnings(bad) == said


@pytest.mark.parametrize('count', range(16))
def test_numbers_of_distortion(count):
    errors = calibration_errors(with_right(rectified_calibration(), D=np.zeros(count)))
    if count in (0, 4, 5, 8, 12, 14):
        assert errors == []
    else:
        assert errors == [
            f'D of the right camera has {count} numbers, expected one of 0, 4, 5, 8, 12, 14'
        ]


@pytest.mark.parametrize(
    'baseline, said',
    [
        (0.062, '62 mm'),
        (4.3, '4.3e\\+03 mm'),
        (0.0005, '0.5 mm'),
        (-0.0043, 'eyes are swapped'),
        (0.0, 'no baseline'),
    ],
)
def test_implausible_baseline(baseline, said):
    [warning] = calibration_warnings(rectified_calibration(baseline=baseline))
    assert re.search(said, warning)


def test_swapped_files():
    good = rectified_calibration()
    said = calibration_warnings(StereoCalibration(good.right, good.left))
    assert 'may be swapped' in ' '.join(said)


def test_sizes_that_disagree():
    [warning] = calibration_warnings(with_right(rectified_calibration(), width=640))
    assert 'left 320x256, right 640x256' in warning


def test_rows_that_do_not_correspond():
    good = rectified_calibration()
    P = good.right.P.copy()
    P[1, 2] += 3
    [warning] = calibration_warnings(with_right(good, P=P))
    assert 'rows do not correspond' in warning


def test_rectifying_rotation():
    angle = np.radians(9)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    [warning] = calibration_warnings(with_right(rectified_calibration(), R=turn))
    assert 'right camera by 9.0 degrees' in warning
    [warning] = calibration_warnings(with_right(rectified_calibration(), R=2 * np.eye(3)))
    assert 'not a rotation' in warning


@pytest.mark.parametrize('size', [(65_000, 65_000), (2**32 - 1, 1), (1, 2**31)])
def test_sizes_without_end_are_refused(size):
    """Maps for rectification would be made of that size."""
    width, height = size
    (said,) = calibration_errors(with_right(rectified_calibration(), width=width, height=height))
    assert said.startswith('the') and f'{width}x{height} px' in said
