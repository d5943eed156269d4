"""`surgseg evaluate pose`: the table's keys, and errors that a small run must not exceed."""

import json

import numpy as np
import pytest

pytest.importorskip('mujoco')

from surgseg_ros import cli
from surgseg_ros.evaluation.tool_pose import ERRORS, PoseEvaluation
from surgseg_ros.frames.tool_pose import KeypointKind, ToolKeypoint, ToolPose


def test_small_run_with_true_masks_and_disparity(tmp_path):
    out = tmp_path / 'figures.json'
    words = ['--source', 'sim:seed=22,frames=5,look=classic,num_tools=1', '--json', str(out)]
    arguments = ['evaluate', 'pose', *words, '--masks', 'true', '--disparity', 'true']
    assert cli.main(arguments) == 0
    figures = json.loads(out.read_text())
    visible = figures['visible']
    assert visible.keys() == set(ERRORS) and figures['rest'].keys() == set(ERRORS)
    assert visible['axis_deg']['n'] >= 3
    assert visible['axis_deg']['median'] < 0.03
    assert visible['shaft_end_mm']['median'] < 0.03
    assert visible['control_point_mm']['median'] < 2.0
    assert 0 <= figures['ellipsoid_95'] <= 1


def true_pose(shift: float) -> ToolPose:
    pose = np.eye(4)
    pose[:3, 3] = shift, 0, 0.07
    keypoints = {KeypointKind.JAW_TIPS: ToolKeypoint(pose[:3, 3] + (0, 0, 0.01))}
    covariance = 1e-6 * np.eye(6)
    return ToolPose(
        1, pose, pose, keypoints, shaft_covariance=covariance, control_covariance=covariance
    )


@pytest.mark.parametrize('shift, inside', [(0.001, 1.0), (0.004, 0.0)])
def test_figures_of_a_known_error(shift, inside):
    evaluation = PoseEvaluation()
    evaluation.add(true_pose(0.0), true_pose(shift), True)
    evaluation.add(true_pose(0.0), None, False)
    figures = evaluation.figures()
    for name in ('shaft_end_mm', 'control_point_mm', 'jaw_tips_mm'):
        assert figures['visible'][name]['median'] == pytest.approx(1e3 * shift)
    assert figures['visible']['axis_deg']['median'] == 0
    assert figures['refused'] == {'visible': 0, 'rest': 1}
    assert figures['ellipsoid_95'] == inside and figures['ellipsoid_95_axis'] == 1.0
