"""One instrument's pose in one frame: the shaft as a cylinder, then the joints beyond it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from surgseg_ros.frames.parts import Part
from surgseg_ros.frames.tool_pose import (
    KeypointKind,
    PoseReason,
    PoseState,
    ToolJoints,
    ToolKeypoint,
    ToolPose,
)
from surgseg_ros.geometry.tool_pose.articulated_model import OPENING, PITCH, ROLL, YAW, frames
from surgseg_ros.geometry.tool_pose.evidence import ASSUMED_STDDEV, Camera, Evidence
from surgseg_ros.geometry.tool_pose.instruments import InstrumentShape
from surgseg_ros.geometry.tool_pose.outline import Edge, shaft_edges
from surgseg_ros.geometry.tool_pose.shaft import ShaftFit, fit_shaft, surface_samples
from surgseg_ros.geometry.tool_pose.wrist import (
    JointFit,
    boundary_along,
    fit_joints,
    pixel_samples,
)

MIN_SHAFT, MIN_DISTAL = 150, 60  # px of an image 640 px wide
MAX_AXIS_STDDEV = np.deg2rad(5.0)  # a shaft whose direction is less certain is no pose
ROLL_KNOWN, OPENING_KNOWN = 0.6, 0.3  # rad, standard deviations
HALF_TURN_VARIANCE = np.pi**2 / 2  # of an angle that is right or wrong by pi, as likely
MODEL_ERROR = 0.15e-3  # m: what boxes leave over, in every direction
NO_BOUNDARY_STDDEV = 3e-3  # m: where the tube ends, by the outline alone
_MARGIN = 12  # px around the instrument


@dataclass(frozen=True)
class Crop:
    """An instrument's surroundings: evidence of a window whose first pixel is `corner` (u, v)."""

    parts: np.ndarray
    known: np.ndarray
    disparity: np.ndarray | None
    stddev: np.ndarray | None
    corner: tuple[int, int]
    camera: Camera

    @classmethod
    def of(cls, evidence: Evidence) -> 'Crop':
        """Cut the window out; the instrument has at least one pixel."""
        height, width = evidence.parts.shape
        left, top, w, h = cv2.boundingRect(evidence.parts)
        rows = slice(max(top - _MARGIN, 0), min(top + h + _MARGIN, height))
        columns = slice(max(left - _MARGIN, 0), min(left + w + _MARGIN, width))
        window = rows, columns
        parts = np.ascontiguousarray(evidence.parts[window])
        known = np.ones(parts.shape, bool)
        if evidence.others is not None:
            known = ~evidence.others[window] | (parts > 0)
        disparity, stddev = (
            None if image is None else image[window]
            for image in (evidence.disparity, evidence.stddev)
        )
        if not evidence.depth_known:
            disparity = stddev = None
        corner = int(columns.start), int(rows.start)
        return cls(parts, known, disparity, stddev, corner, evidence.camera)


def estimate_tool(
    evidence: Evidence, shape: InstrumentShape, previous: ToolJoints | None = None
) -> ToolPose:
    """Estimate the pose of the instrument that `evidence` shows.

    previous: joints a frame before, where the search begins, too. What cannot be estimated gives a
    pose whose state is INVALID, with NaN where nothing is known, and the reasons.
    """
    scale = evidence.camera.f / 530.0
    if np.count_nonzero(evidence.parts) < MIN_SHAFT * scale**2:
        return invalid(PoseReason.FEW_POINTS)
    crop = Crop.of(evidence)
    reasons = PoseReason.NONE if crop.disparity is not None else PoseReason.MONOCULAR
    reasons |= _leaving(evidence.parts)
    crop, shaft, along = _shaft(crop, shape)
    if shaft is None or not _axis_stddev(shaft) <= MAX_AXIS_STDDEV:  # NaN, too
        return invalid(reasons | PoseReason.FEW_POINTS)
    if shaft.bad_depth:  # one of the two is wrong, and it is unknown which
        return _shaft_alone(shaft, along, reasons | PoseReason.BAD_DEPTH)
    distal = (crop.parts > 0) & (crop.parts != Part.SHAFT)
    joints = None
    if np.count_nonzero(distal) >= MIN_DISTAL * scale**2:
        joints = _joints(crop, shaft, shape, along)
    if joints is None:
        return _shaft_alone(shaft, along, reasons | _why_no_joints(reasons))
    return _pose(evidence, shaft, joints, shape, reasons)


def invalid(reasons: PoseReason) -> ToolPose:
    """No pose, and why."""
    nowhere = np.vstack([np.full((3, 4), np.nan), [[0.0, 0.0, 0.0, 1.0]]])
    unknown = np.full((6, 6), np.nan)
    return ToolPose(
        0,
        nowhere,
        nowhere.copy(),
        state=PoseState.INVALID,
        reasons=reasons,
        jaw_variance=np.nan,
        shaft_covariance=unknown,
        control_covariance=unknown.copy(),
    )


def _leaving(parts: np.ndarray) -> PoseReason:
    """LEAVES_IMAGE if the jaws reach the picture's edge."""
    if not (parts == Part.SHAFT).any():
        return PoseReason.NONE
    jaws = parts == Part.JAW
    border = jaws[0].any() or jaws[-1].any() or jaws[:, 0].any() or jaws[:, -1].any()
    return PoseReason.LEAVES_IMAGE if border else PoseReason.NONE


def _why_no_joints(reasons: PoseReason) -> PoseReason:
    return PoseReason.NONE if reasons & PoseReason.LEAVES_IMAGE else PoseReason.FEW_POINTS


def _shaft(
    crop: Crop, shape: InstrumentShape
) -> tuple[Crop, ShaftFit | None, tuple[float, float]]:
    """Fit the shaft and where it ends (m, standard deviation); without parts, tell them first."""
    part = crop.parts == Part.SHAFT
    if part.any():
        shaft = _fit(crop, part, shape)
        if shaft is None:
            return crop, None, (0.0, 0.0)
        axis = np.vstack([shaft.point, shaft.direction, shaft.across])
        along = boundary_along(crop.parts, crop.corner, axis, shaft.radius, crop.camera)
        return crop, shaft, along or (shaft.span[1], NO_BOUNDARY_STDDEV)
    edges = shaft_edges(crop.parts > 0, (crop.parts == 0) & crop.known)
    if len(edges) < 2 or (crop.parts == Part.JAW).any():  # parts are told: its shaft is not seen
        return crop, None, (0.0, 0.0)
    crop = replace(crop, parts=_told_apart(crop.parts, edges))
    shaft = _fit(crop, crop.parts == Part.SHAFT, shape)
    return crop, shaft, (shaft.span[1] if shaft else 0.0, NO_BOUNDARY_STDDEV)


def _told_apart(parts: np.ndarray, edges: list[Edge]) -> np.ndarray:
    """Call what lies between the two straight borders shaft, the rest unknown parts."""
    tangent = np.array([-edges[0].normal[1], edges[0].normal[0]])
    v, u = np.nonzero(parts)
    along = np.column_stack([u, v]) @ tangent
    low = max(float((edge.points @ tangent).min()) for edge in edges)
    high = min(float((edge.points @ tangent).max()) for edge in edges)
    # the tube runs out of the picture on one side: there it has no end
    if np.ptp(along) and (along < low).sum() < (along > high).sum():
        low = -np.inf
    else:
        high = np.inf
    inside = (along >= low) & (along <= high)
    for edge in edges:
        inside &= np.column_stack([u, v]) @ edge.normal < edge.points[0] @ edge.normal + 1.0
    told = np.where(parts > 0, np.uint8(Part.UNKNOWN), np.uint8(0))
    told[v[inside], u[inside]] = Part.SHAFT
    return told


def _fit(crop: Crop, part: np.ndarray, shape: InstrumentShape) -> ShaftFit | None:
    v, u = np.nonzero(part)
    if len(u) < MIN_SHAFT * (crop.camera.f / 530.0) ** 2:
        return None
    step = max(1, len(u) // 2000)
    corner = np.array(crop.corner, np.float64)
    pixels = np.column_stack([u[::step], v[::step]]) + corner
    edges = [
        replace(edge, points=edge.points + corner)
        for edge in shaft_edges(part, (crop.parts == 0) & crop.known)
    ]
    samples = surface_samples(part, crop.disparity, crop.stddev, crop.camera, crop.corner)
    radius = shape.radius, shape.radius_stddev
    return fit_shaft(edges, samples, radius, crop.camera, _distal(crop, part, pixels), pixels)


def _distal(crop: Crop, part: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(2,) px towards which the instrument ends: its other parts, else away from the border."""
    v, u = np.nonzero((crop.parts > 0) & ~part)
    if len(u) >= 20:
        return np.array([u.mean(), v.mean()]) + crop.corner
    middle = pixels.mean(axis=0)
    end: np.ndarray = middle + (np.array([crop.camera.cx, crop.camera.cy]) - middle)
    return end


def _axis_stddev(shaft: ShaftFit) -> float:
    return float(np.sqrt(shaft.covariance[2, 2] + shaft.covariance[3, 3]))


def _joints(
    crop: Crop, shaft: ShaftFit, shape: InstrumentShape, along: tuple[float, float]
) -> JointFit | None:
    axis = np.vstack([shaft.point, shaft.direction, shaft.across])
    stddev = ASSUMED_STDDEV if crop.stddev is None else crop.stddev
    samples = pixel_samples(
        crop.parts, crop.known, crop.disparity, stddev, crop.camera, crop.corner
    )
    return fit_joints(samples, axis, replace(shape, radius=shaft.radius), along, crop.camera)


def _shaft_alone(shaft: ShaftFit, along: tuple[float, float], reasons: PoseReason) -> ToolPose:
    """The shaft is known, what is beyond it is not: no pose of the control point."""
    none = invalid(reasons | PoseReason.ROLL_UNKNOWN)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = *shaft.across, shaft.direction
    pose[:3, 3] = shaft.line(along[0])
    covariance = _shaft_covariance(shaft, along[0], along[1] ** 2, np.pi**2 / 3)
    return replace(none, shaft=pose, shaft_covariance=covariance)


def _shaft_covariance(
    shaft: ShaftFit, along: float, along_variance: float, roll_variance: float
) -> np.ndarray:
    J = shaft.jacobian(along)
    covariance = J @ shaft.covariance @ J.T
    axis = np.outer(shaft.direction, shaft.direction)
    covariance[:3, :3] += along_variance * axis
    covariance[3:, 3:] += roll_variance * axis
    return np.asarray(covariance)


def _pose(
    evidence: Evidence,
    shaft: ShaftFit,
    joints: JointFit,
    shape: InstrumentShape,
    reasons: PoseReason,
) -> ToolPose:
    """Everything that follows from shaft and joints."""
    axis = np.vstack([shaft.point, shaft.direction, shaft.across])
    q, C = _canonical(joints.q, axis), _with_rivals(joints)
    control_J = _numeric(lambda p: control_frame(p, axis), q)
    control = control_frame(q, axis)
    covariance = control_J @ C @ control_J.T + _carried(shaft, control[:3, 3])
    covariance[:3, :3] += MODEL_ERROR**2 * np.eye(3)
    z = control[:3, 2]
    if z @ covariance[3:, 3:] @ z > ROLL_KNOWN**2:
        reasons |= PoseReason.ROLL_UNKNOWN
    if shape.symmetric:
        reasons |= PoseReason.HALF_TURN
        covariance[3:, 3:] += HALF_TURN_VARIANCE * np.outer(z, z)
    if C[OPENING, OPENING] > OPENING_KNOWN**2:
        reasons |= PoseReason.ONE_JAW
    return ToolPose(
        0,
        shaft_frame(q, axis),
        control,
        _keypoints(evidence, q, axis, C, shaft),
        jaw_angle=float(q[OPENING]),
        jaw_variance=float(C[OPENING, OPENING]),
        reasons=reasons,
        shaft_covariance=_shaft_covariance(shaft, q[0], C[0, 0], C[ROLL, ROLL]),
        control_covariance=covariance,
        joints=ToolJoints(*(float(q[i]) for i in (ROLL, PITCH, YAW, OPENING))),
        radius=shaft.radius,
    )


def _with_rivals(joints: JointFit) -> np.ndarray:
    """Covariance widened by what other valleys say, each as likely as its fit is good."""
    C = joints.covariance.copy()
    for other in joints.rivals:
        d = other - joints.q
        d[ROLL] = (d[ROLL] + np.pi / 2) % np.pi - np.pi / 2
        C += 0.25 * np.outer(d, d)
    return C


def _canonical(q: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Of the two half turns that look alike the one whose jaw axis points right in the picture."""
    q = q.copy()
    if frames(q, axis)[5][0] < 0:
        q[ROLL] += np.pi
        q[PITCH], q[YAW] = -q[PITCH], -q[YAW]
    q[ROLL] = (q[ROLL] + np.pi) % (2 * np.pi) - np.pi
    return q


def shaft_frame(q: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """4x4, camera from shaft: origin where the tube ends, z distal, x along the pitch axis."""
    F = frames(q, axis)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = F[3], F[4], axis[1], F[0]
    return pose


def control_frame(q: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """4x4, camera from the dVRK's control point: z along the jaws, x along their axis."""
    F = frames(q, axis)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = F[5], -F[7], F[8], F[2]
    return pose


def _numeric(function: Callable[[np.ndarray], np.ndarray], q: np.ndarray) -> np.ndarray:
    """6 x 8: shift and rotation vector of a frame per parameter."""
    at = function(q)
    J = np.zeros((6, len(q)))
    for i in range(len(q)):
        moved = q.copy()
        moved[i] += 1e-5
        other = function(moved)
        J[:3, i] = (other[:3, 3] - at[:3, 3]) / 1e-5
        R = other[:3, :3] @ at[:3, :3].T
        J[3:, i] = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2e-5
    return J


def _carried(shaft: ShaftFit, point: np.ndarray) -> np.ndarray:
    """6x6: what the shaft's error does to a frame fixed to it at `point`."""
    J = shaft.jacobian(0.0)
    lever = point - shaft.point
    for i in (2, 3):
        J[:3, i] = np.cross(J[3:, i], lever)
    return np.asarray(J @ shaft.covariance @ J.T)


def tip_points(q: np.ndarray, axis: np.ndarray) -> dict[KeypointKind, np.ndarray]:
    """All keypoints except the entry, m."""
    F = frames(q, axis)
    c, s, length = np.cos(q[OPENING] / 2), np.sin(q[OPENING] / 2), q[7]
    first, second = (F[2] + length * (c * F[8] + sign * s * F[7]) for sign in (-1, 1))
    return {
        KeypointKind.SHAFT_END: F[0],
        KeypointKind.WRIST_PITCH: F[1],
        KeypointKind.WRIST_YAW: F[2],
        KeypointKind.JAW_TIP_1: first,
        KeypointKind.JAW_TIP_2: second,
        KeypointKind.JAW_TIPS: 0.5 * (first + second),
    }


def _keypoints(
    evidence: Evidence, q: np.ndarray, axis: np.ndarray, C: np.ndarray, shaft: ShaftFit
) -> dict[KeypointKind, ToolKeypoint]:
    at = tip_points(q, axis)
    J = {kind: np.zeros((3, len(q))) for kind in at}
    for i in range(len(q)):
        moved = q.copy()
        moved[i] += 1e-5
        for kind, point in tip_points(moved, axis).items():
            J[kind][:, i] = (point - at[kind]) / 1e-5
    found = {}
    for kind, point in at.items():
        covariance = J[kind] @ C @ J[kind].T + _carried(shaft, point)[:3, :3]
        covariance += MODEL_ERROR**2 * np.eye(3)
        found[kind] = _keypoint(evidence, point, covariance)
    tips = found[KeypointKind.JAW_TIP_1].visible and found[KeypointKind.JAW_TIP_2].visible
    found[KeypointKind.JAW_TIPS] = replace(found[KeypointKind.JAW_TIPS], visible=tips)
    entry = entry_point(at[KeypointKind.SHAFT_END], shaft.direction, evidence)
    if entry is not None:
        found[KeypointKind.ENTRY] = _keypoint(evidence, entry, _carried(shaft, entry)[:3, :3])
    return found


def _keypoint(evidence: Evidence, point: np.ndarray, covariance: np.ndarray) -> ToolKeypoint:
    pixel = evidence.camera.project(point)
    return ToolKeypoint(point, pixel, covariance, _shows(evidence.parts, pixel))


def _shows(parts: np.ndarray, pixel: np.ndarray) -> bool:
    """Whether the instrument is seen at a pixel or within 2 px of it."""
    if not np.isfinite(pixel).all():
        return False
    height, width = parts.shape
    u, v = np.round(pixel).astype(int)
    if not (-1 <= u <= width and -1 <= v <= height):
        return False
    return bool(parts[max(v - 2, 0) : v + 3, max(u - 2, 0) : u + 3].any())


def entry_point(
    end: np.ndarray, direction: np.ndarray, evidence: Evidence, longest: float = 0.3
) -> np.ndarray | None:
    """Where the centre line, going back from the tube's end, leaves the picture; None: nowhere."""
    height, width = evidence.parts.shape
    back = end - np.linspace(0.0, longest, 600)[:, None] * direction
    pixels = evidence.camera.project(back)
    inside = (pixels > -0.5).all(axis=1) & (pixels < (width - 0.5, height - 0.5)).all(axis=1)
    inside &= back[:, 2] > 1e-3
    if not inside.any() or inside[-1]:
        return None
    return np.asarray(back[np.flatnonzero(inside)[-1]])
