"""Articulated instruments like da Vinci's EndoWrist: shaft, wrist with clevis, two jaws.

Shaft frame: origin on the centre line at the shaft's distal end, z distal, y the jaw joint's axis
when the wrist is straight. The wrist pitches about x; its yaw turns both jaws, and these open,
about y. Signs are those of the da Vinci Research Kit, whose roll link has the axes
(-y, x, z) of the shaft frame (see geometry.dvrk_kinematics). Millimetres.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from surgseg_ros.simulation.jaws import JawShape

SHAFT_RADIUS = 4.0
SHAFT_LENGTH = 220.0
COLLAR = 3.5  # steel end of the shaft
PITCH_JOINT = 7.5  # from the shaft's end
CLASSIC_WRIST = 7.5  # pitch axis to jaw axis of all instruments whose wrists are not da Vinci's


@dataclass(frozen=True)
class InstrumentType:
    """What one kind of instrument is called (EndoVis 2017 ids and names) and how it is built.

    widest: largest opening between the jaws, rad. wrist: from the pitch axis to the jaws' axis.
    pitch_limit, yaw_limit: of the wrist, to both sides, rad.
    """

    class_id: int
    class_name: str
    jaw: JawShape
    widest: float
    wrist: float = CLASSIC_WRIST
    pitch_limit: float = np.deg2rad(80.0)
    yaw_limit: float = np.deg2rad(80.0)


CATALOGUE = (
    InstrumentType(
        2, 'Prograsp Forceps', JawShape(15.0, (4.8, 4.0), (1.9, 1.1), window=True), 0.9
    ),
    InstrumentType(3, 'Large Needle Driver', JawShape(10.0, (3.8, 2.0), (2.2, 1.2), teeth=9), 0.8),
    InstrumentType(1, 'Bipolar Forceps', JawShape(14.0, (3.6, 1.3), (1.8, 0.9), bow=0.9), 0.8),
    InstrumentType(6, 'Monopolar Curved Scissors', JawShape(12.0, (3.6, 0.7), (1.4, 0.5)), 0.7),
)

# Wrists of real instruments, from the research kit's files: from pitch to yaw axis in mm, limits
# of pitch and yaw in degrees. Prograsp Forceps 400093, Large Needle Driver 400006, Fenestrated
# Bipolar Forceps 400205, Monopolar Curved Scissors 400179.
DA_VINCI_WRISTS = {
    'Prograsp Forceps': (10.7, 80.0, 80.0),
    'Large Needle Driver': (9.1, 80.0, 80.0),
    'Bipolar Forceps': (10.7, 70.0, 90.0),
    'Monopolar Curved Scissors': (9.1, 80.0, 80.0),
}


def da_vinci(kinds: Sequence[InstrumentType]) -> list[InstrumentType]:
    """Return these kinds with the wrists of the real instruments."""
    return [_with_wrist(kind, *DA_VINCI_WRISTS[kind.class_name]) for kind in kinds]


def _with_wrist(kind: InstrumentType, wrist: float, pitch: float, yaw: float) -> InstrumentType:
    limits = {'pitch_limit': np.deg2rad(pitch), 'yaw_limit': np.deg2rad(yaw)}
    return replace(kind, wrist=wrist, **limits)


@dataclass(frozen=True)
class JointState:
    """Where an instrument's joints stand.

    shaft: 4x4, camera from shaft frame, mm. bend: wrist pitch, rad. opening: between jaws, rad.
    yaw: of both jaws, rad. roll: as commanded, rad; part of `shaft` already.
    """

    shaft: np.ndarray
    bend: float
    opening: float
    yaw: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class LinkPoses:
    """4x4 each, camera from link frame, mm.

    clevis: origin on the jaws' axis, turned with their bisector. tip: origin midway between the
    jaw tips, axes of the shaft.
    """

    shaft: np.ndarray
    wrist: np.ndarray
    clevis: np.ndarray
    jaws: tuple[np.ndarray, np.ndarray]
    tip: np.ndarray


def reach(kind: InstrumentType, opening: float) -> float:
    """Return how far the midpoint of the jaw tips lies beyond the jaw joint, mm."""
    return kind.jaw.length * float(np.cos(opening / 2))


def forward_kinematics(kind: InstrumentType, joints: JointState) -> LinkPoses:
    """Return the poses of all links; the second jaw is the first turned by pi about z."""
    wrist = joints.shaft @ _move(PITCH_JOINT) @ _rotation_x(joints.bend)
    clevis = wrist @ _move(kind.wrist) @ _rotation_y(-joints.yaw)
    first = clevis @ _rotation_y(joints.opening / 2)
    second = clevis @ _rotation_y(-joints.opening / 2) @ np.diag([-1.0, -1.0, 1.0, 1.0])
    tip = joints.shaft.copy()
    tip[:3, 3] = (clevis @ _move(reach(kind, joints.opening)))[:3, 3]
    return LinkPoses(joints.shaft, wrist, clevis, (first, second), tip)


def _move(z: float) -> np.ndarray:
    T = np.eye(4)
    T[2, 3] = z
    return T


def _rotation_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]], float)


def _rotation_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]], float)
