"""Forward kinematics of the da Vinci Research Kit's patient-side manipulators (PSM).

The kit describes an arm and each instrument in files (JSON with comments in the style of C) by
modified Denavit-Hartenberg rows (Craig, Introduction to Robotics, eq. 3.6): a joint's transform is
Rx(alpha) Tx(A) Rz(theta) Tz(D), its offset added to theta or, of a prismatic joint, to D. What the
kit publishes as `measured_cp` is base frame * arm * instrument * tooltip_offset. Of nearly all
instruments its origin lies on the jaws' axis (wrist yaw); z runs along the jaws' bisector, x along
that axis. Lengths in metres, angles in radians.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surgseg_ros.frames.foreign import parse_json, read_text

INSERTION_OFFSET = -0.4318  # m, D of a PSM's third row where the joint is 0
SHAFT = 0.4162  # m, D of the roll's row of most instruments
ISI_TOOLTIP = ((0, -1, 0, 0), (0, 0, 1, 0), (-1, 0, 0, 0), (0, 0, 0, 1))  # of most instruments
WRIST_LIMITS = ((-4.5378, 4.5378), (-1.3963, 1.3963), (-1.3963, 1.3963))  # roll, pitch, yaw
_QUARTER = np.pi / 2
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


@dataclass(frozen=True)
class Joint:
    """One row of modified Denavit-Hartenberg parameters, with the joint's limits."""

    name: str
    alpha: float
    a: float
    theta: float
    d: float
    prismatic: bool = False
    limits: tuple[float, float] = (-np.inf, np.inf)

    def transform(self, position: float) -> np.ndarray:
        """4x4, the link before from this link, with the joint at this position (rad or m)."""
        theta = self.theta + (0.0 if self.prismatic else position)
        d = self.d + (position if self.prismatic else 0.0)
        ca, sa, ct, st = np.cos(self.alpha), np.sin(self.alpha), np.cos(theta), np.sin(theta)
        return np.array(
            [
                [ct, -st, 0.0, self.a],
                [st * ca, ct * ca, -sa, -d * sa],
                [st * sa, ct * sa, ca, d * ca],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )


@dataclass(frozen=True)
class Instrument:
    """joints: from the roll on. tooltip_offset: 4x4, the last link from the control point."""

    joints: tuple[Joint, ...]
    tooltip_offset: np.ndarray
    jaw_limits: tuple[float, float] = (0.0, np.inf)


@dataclass(frozen=True)
class Manipulator:
    """An arm that holds an instrument."""

    arm: tuple[Joint, ...]
    instrument: Instrument

    @property
    def joints(self) -> tuple[Joint, ...]:
        """All joints from the base on: yaw, pitch, insertion, roll, then those of the wrist."""
        return self.arm + self.instrument.joints

    def links(self, positions: Sequence[float] | np.ndarray) -> list[np.ndarray]:
        """4x4 of every link, base frame from the link's frame."""
        if len(positions) != len(self.joints):
            raise ValueError(
                f'{len(positions)} joint positions were given, expected {len(self.joints)}: '
                + ', '.join(joint.name for joint in self.joints)
            )
        poses, pose = [], np.eye(4)
        for joint, position in zip(self.joints, positions, strict=True):
            pose = pose @ joint.transform(float(position))
            poses.append(pose)
        return poses

    def measured_cp(self, positions: Sequence[float] | np.ndarray) -> np.ndarray:
        """4x4, base frame from the control point: the kit's `local/measured_cp`."""
        pose: np.ndarray = self.links(positions)[-1] @ self.instrument.tooltip_offset
        return pose


def psm_joints() -> tuple[Joint, ...]:
    """Yaw, pitch and insertion of a PSM; they meet in the remote centre, the base's origin."""
    return (
        Joint('yaw', _QUARTER, 0.0, _QUARTER, 0.0, limits=(-1.588, 1.588)),
        Joint('pitch', -_QUARTER, 0.0, -_QUARTER, 0.0, limits=(-0.925025, 0.925025)),
        Joint('insertion', _QUARTER, 0.0, 0.0, INSERTION_OFFSET, True, (0.0, 0.24)),
    )


def endowrist(
    pitch_to_yaw: float, shaft: float = SHAFT, limits: Sequence[tuple[float, float]] = WRIST_LIMITS
) -> Instrument:
    """Return an instrument with the usual wrist.

    pitch_to_yaw: m, from the wrist's pitch axis to the jaws' axis. shaft: D of the roll's row, m.
    limits: of roll, pitch and yaw.
    """
    roll, pitch, yaw = limits
    joints = (
        Joint('roll', 0.0, 0.0, 0.0, shaft, limits=roll),
        Joint('wrist_pitch', -_QUARTER, 0.0, -_QUARTER, 0.0, limits=pitch),
        Joint('wrist_yaw', -_QUARTER, pitch_to_yaw, -_QUARTER, 0.0, limits=yaw),
    )
    return Instrument(joints, np.array(ISI_TOOLTIP, float))


def read_arm(path: str | Path) -> tuple[Joint, ...]:
    """Read the joints of an arm's file such as PSM.json; ValueError in one sentence."""
    return _joints(_read(path), path)


def read_instrument(path: str | Path) -> Instrument:
    """Read an instrument's file such as LARGE_NEEDLE_DRIVER_400006.json; ValueError if invalid."""
    content = _read(path)
    offset = np.array(content.get('tooltip_offset', np.eye(4)), float)
    if offset.shape != (4, 4) or not np.isfinite(offset).all():
        raise ValueError(f'{path}: tooltip_offset is no 4x4 matrix of finite numbers')
    jaw = content.get('jaw', {})
    return Instrument(
        _joints(content, path),
        offset,
        (float(jaw.get('qmin', 0.0)), float(jaw.get('qmax', np.inf))),
    )


def _read(path: str | Path) -> dict[str, Any]:
    """JSON with // and /* */ comments, which may not begin inside strings."""
    text = _COMMENT.sub(lambda match: match[1] or ' ', read_text(Path(path)))
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ValueError(f'{path} is no JSON with comments: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds no object, expected one with "DH"')
    return content


def _joints(content: Mapping[str, Any], path: str | Path) -> tuple[Joint, ...]:
    dh = content.get('DH', {})
    if dh.get('convention') != 'modified':
        raise ValueError(
            f'{path} has the DH convention {dh.get("convention")!r}, expected "modified"'
        )
    try:
        return tuple(_joint(row) for row in dh['joints'])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} has a DH row that cannot be read: {error!r}') from error


def _joint(row: Mapping[str, Any]) -> Joint:
    kinds = {'revolute': False, 'prismatic': True}
    prismatic, offset = kinds[row['type']], float(row['offset'])
    return Joint(
        str(row['name']),
        float(row['alpha']),
        float(row['A']),
        float(row['theta']) + (0.0 if prismatic else offset),
        float(row['D']) + (offset if prismatic else 0.0),
        prismatic,
        (float(row['qmin']), float(row['qmax'])),
    )
