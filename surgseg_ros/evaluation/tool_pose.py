"""Estimated poses of instruments against the simulator's, row by row as docs/tool_pose.md lists.

`visible`: the jaws' tips are seen and no other instrument touches this one. `rest`: all others.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cv2
import numpy as np

from surgseg_ros.evaluation.tables import Cell, Table
from surgseg_ros.frames.results import InstanceResult, mask_boxes
from surgseg_ros.frames.stereo_frame import GroundTruth, StereoFrame
from surgseg_ros.frames.tool_pose import KeypointKind, PoseState, ToolPose

ERRORS = ('axis_deg', 'shaft_end_mm', 'control_point_mm', 'jaw_tips_mm', 'jaw_direction_deg')
DEFINITION = (
    'errors of poses found, and in how many cases none was; ellipsoid_95: share of true positions '
    'in the ellipsoid that shall have 95 %'
)
LIMITS = {2: 5.991, 3: 7.815}  # 95 % of chi squared
MIN_PIXELS = 200  # an instrument of which less is seen is not in the picture
MATCH = 0.5  # IoU from which an instance is a true instrument

Poser = Callable[[StereoFrame, InstanceResult, np.ndarray | None], list[ToolPose]]


class PoseEvaluation:
    """Collects the errors of frame after frame."""

    def __init__(self) -> None:
        self._errors: dict[str, list[list[float]]] = {'visible': [], 'rest': []}
        self._refused = {'visible': 0, 'rest': 0}
        self._inside: dict[str, list[bool]] = {'position': [], 'axis': []}
        self._stddev: list[float] = []

    def add(self, truth: ToolPose, estimate: ToolPose | None, visible: bool) -> None:
        """Judge one instrument of one frame; estimate: None where it was not found."""
        row = 'visible' if visible else 'rest'
        if estimate is None or estimate.state == PoseState.INVALID:
            self._refused[row] += 1
            return
        self._errors[row].append(pose_errors(truth, estimate))
        position = estimate.control_point[:3, 3] - truth.control_point[:3, 3]
        C = estimate.control_covariance[:3, :3]
        self._inside['position'].append(_inside(position, C))
        self._stddev.append(1e3 * float(np.sqrt(np.trace(C) / 3)))
        self._inside['axis'].append(_axis_inside(truth, estimate))

    def figures(self) -> dict[str, object]:
        """Median, p95 and n per row and error; shares in the 95 % ellipsoids; how many refused."""
        rows: dict[str, object] = {row: _summary(errors) for row, errors in self._errors.items()}
        return {
            **rows,
            'refused': dict(self._refused),
            'ellipsoid_95': _mean(self._inside['position']),
            'ellipsoid_95_axis': _mean(self._inside['axis']),
            'median_sigma_mm': float(np.median(self._stddev)) if self._stddev else float('nan'),
        }


def pose_errors(truth: ToolPose, estimate: ToolPose) -> list[float]:
    """ERRORS of one pose; the shaft's end across its axis."""
    end = truth.shaft[:3, 3] - estimate.shaft[:3, 3]
    tips = truth.point(KeypointKind.JAW_TIPS) - estimate.point(KeypointKind.JAW_TIPS)
    control = truth.control_point[:3, 3] - estimate.control_point[:3, 3]
    return [
        _angle(truth.axis, estimate.axis),
        1e3 * float(np.linalg.norm(np.cross(end, estimate.axis))),
        1e3 * float(np.linalg.norm(control)),
        1e3 * float(np.linalg.norm(tips)),
        _angle(truth.control_point[:3, 2], estimate.control_point[:3, 2]),
    ]


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    """Angle between unit vectors in degrees, also exact for small angles."""
    return float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(one, other)), one @ other)))


def _inside(error: np.ndarray, covariance: np.ndarray) -> bool:
    return bool(error @ np.linalg.solve(covariance, error) <= LIMITS[len(error)])


def _axis_inside(truth: ToolPose, estimate: ToolPose) -> bool:
    """Whether the true direction of the shaft lies in the ellipse of the two turns across it."""
    across = estimate.shaft[:3, :2].T
    turns = np.cross(estimate.axis, across)  # rotation vectors that move the axis along `across`
    covariance = turns @ estimate.shaft_covariance[3:, 3:] @ turns.T
    return _inside(across @ truth.axis, covariance)


def _summary(errors: list[list[float]]) -> dict[str, object]:
    columns = np.array(errors, np.float64).reshape(-1, len(ERRORS))
    return {
        name: {
            'median': float(np.median(values)) if len(values) else float('nan'),
            'p95': float(np.quantile(values, 0.95)) if len(values) else float('nan'),
            'n': len(values),
        }
        for name, values in zip(ERRORS, columns.T, strict=True)
    }


def _mean(values: list[bool]) -> float:
    return float(np.mean(values)) if values else float('nan')


def evaluate(
    frames: Iterable[StereoFrame],
    instances_of: Callable[[StereoFrame], InstanceResult],
    disparity_of: Callable[[StereoFrame], np.ndarray | None],
    poses_of: Poser,
) -> dict[str, object]:
    """Run over frames with truth; the figures of PoseEvaluation."""
    evaluation = PoseEvaluation()
    for frame in frames:
        assert frame.truth is not None and frame.truth.instances is not None
        instances = instances_of(frame)
        poses = poses_of(frame, instances, disparity_of(frame))
        for tool in frame.truth.tools:
            mask = frame.truth.instances == tool.slot
            if np.count_nonzero(mask) >= MIN_PIXELS:
                found = _match(mask, instances, poses)
                evaluation.add(tool, found, is_visible(tool, frame.truth))
    return evaluation.figures()


def is_visible(tool: ToolPose, truth: GroundTruth) -> bool:
    """Whether the jaws' tips are seen and no other instrument touches this one."""
    assert truth.instances is not None
    mask = truth.instances == tool.slot
    others = (truth.instances > 0) & ~mask
    near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    tips = tool.keypoints.get(KeypointKind.JAW_TIPS)
    return bool(tips is not None and tips.visible and not (near & others).any())


def _match(mask: np.ndarray, instances: InstanceResult, poses: list[ToolPose]) -> ToolPose | None:
    best, most = None, MATCH
    for found, pose in zip(instances.masks, poses, strict=True):
        union = int(np.count_nonzero(found | mask))
        overlap = int(np.count_nonzero(found & mask)) / max(union, 1)
        if overlap > most:
            best, most = pose, overlap
    return best


def true_instances(frame: StereoFrame) -> InstanceResult:
    """The true masks and parts of a simulated frame."""
    truth = frame.truth
    assert truth is not None and truth.instances is not None and truth.parts is not None
    tools = [tool for tool in truth.tools if (truth.instances == tool.slot).any()]
    shape = (len(tools), *truth.instances.shape)
    masks = np.zeros(shape, bool)
    for mask, tool in zip(masks, tools, strict=True):
        mask[:] = truth.instances == tool.slot
    names = ['background'] * (1 + max([tool.class_id for tool in tools], default=0))
    for tool in tools:
        names[tool.class_id] = tool.class_name
    return InstanceResult(
        np.array([tool.class_id for tool in tools], np.int64),
        np.ones(len(tools), np.float32),
        mask_boxes(masks),
        masks,
        masks * truth.parts,
        tuple(names),
        track_ids=np.array([tool.slot for tool in tools], np.uint32),
    )


def table(figures: Mapping[str, Any]) -> Table:
    """Figures for people: median and 95th percentile of each error, poses given and refused."""
    columns = [f'{name} {what}' for name in ERRORS for what in ('median', 'p95')]
    rows: list[tuple[str, tuple[Cell, ...]]] = []
    for row in ('visible', 'rest'):
        cells = [figures[row][name] for name in ERRORS]
        errors = [cell[what] for cell in cells for what in ('median', 'p95')]
        rows.append((row, (*errors, cells[0]['n'], figures['refused'][row])))
    unknown = (None,) * (len(columns) + 1)
    for name in ('ellipsoid_95', 'ellipsoid_95_axis', 'median_sigma_mm'):
        rows.append((name, (figures[name], *unknown)))
    return Table('pose', (*columns, 'poses', 'none'), tuple(rows), 3)
