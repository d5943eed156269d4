"""How the endoscope, the instruments and their jaws move: sums of sinusoids of time.

Camera frame: the left camera's optical frame (x right, y down, z forward). Millimetres.
"""

from dataclasses import dataclass

import numpy as np

from surgseg_ros.simulation.instruments import (
    PITCH_JOINT,
    SHAFT_RADIUS,
    InstrumentType,
    JointState,
    LinkPoses,
    forward_kinematics,
    reach,
)
from surgseg_ros.simulation.tissue import Tissue

WORKING_DISTANCE = 75.0  # mm, along the optical axis to the middle of the sheet's plane
TILT = np.deg2rad(27.0)  # the far edge of the field is up in the image
SHEET_SHIFT = 14.0  # mm, the sheet's centre lies this much up-field of the optical axis
PORTS = ((92.0, 22.0, -25.0), (-92.0, 36.0, -22.0), (80.0, -62.0, -15.0), (-84.0, -58.0, -15.0))
ZONES = ((5.0, 1.0), (-5.0, -5.0), (6.0, 23.0), (-6.0, 19.0))  # mm around the optical axis
SWING = 20.0  # mm, of instruments that cross: far beyond the 5 from a zone to the middle
FULL_ROLL = 1.2  # rad, to both sides, of instruments whose joints all move


class Wave:
    """A smooth signal in about -1..1: three sinusoids of random phase, each slower one larger."""

    def __init__(self, rng: np.random.Generator, period: float) -> None:
        self._rates = 2 * np.pi / period * np.array([1.0, 1.7, 2.9]) * rng.uniform(0.85, 1.15, 3)
        self._phases = rng.uniform(0.0, 2 * np.pi, 3)

    def __call__(self, t: float) -> float:
        """Return the signal at t seconds."""
        return float(np.dot([0.6, 0.3, 0.1], np.sin(self._rates * t + self._phases)))


class EndoscopeMotion:
    """The sheet's pose seen from a slowly swaying endoscope; distance: in the usual one."""

    def __init__(self, rng: np.random.Generator, distance: float = 1.0) -> None:
        self._distance, self._away = distance, distance * WORKING_DISTANCE
        self._sway = [Wave(rng, 14.0) for _ in range(3)]
        self._breath = Wave(rng, 4.0)

    def tissue_pose(self, t: float) -> np.ndarray:
        """Return 4x4, camera from tissue coordinates (mm), at t seconds."""
        tilt = TILT + 0.02 * self._sway[2](t)
        c, s = np.cos(tilt), np.sin(tilt)
        pose = np.eye(4)
        pose[:3, :3] = np.array([[1, 0, 0], [0, -c, -s], [0, s, -c]])
        pose[:3, 3] = (2.0 * self._sway[0](t), 0.0, self._away + 0.8 * self._breath(t))
        pose[:3, 3] += (self._distance * SHEET_SHIFT + 2.0 * self._sway[1](t)) * pose[:3, 1]
        return pose


@dataclass(frozen=True)
class Axis:
    """A straight instrument's centre line in tissue coordinates, mm.

    port: the remote centre of motion, where the instrument enters. tip: between the jaw tips.
    """

    port: np.ndarray
    tip: np.ndarray

    def lifted(self, height: float) -> 'Axis':
        """Return the axis with its tip this much farther from the tissue's plane."""
        return Axis(self.port, self.tip + (0.0, 0.0, height))


@dataclass(frozen=True)
class Articulation:
    """How far the joints move, rad to both sides: wrist pitch, wrist yaw, roll about the shaft.

    close: whether the bent wrist itself keeps clear of the tissue, so that it can work close
    above it; otherwise the instrument keeps as far away as any direction of its jaws might need.
    """

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.7
    close: bool = False

    @staticmethod
    def full(kind: InstrumentType) -> 'Articulation':
        """Return the whole range of a kind's joints."""
        return Articulation(kind.pitch_limit, kind.yaw_limit, FULL_ROLL, close=True)


class ToolMotion:
    """One instrument that pivots about its port while its tip wanders over the tissue.

    yaw_rng: draws the motion of the wrist's yaw; all else comes from rng. roll_offset: rad, the
    middle of its turns about the shaft. retract: mm by which it stays back, on its own side.
    distance: of the tissue, in the usual one.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        place: int,
        kind: InstrumentType,
        articulation: Articulation,
        crossing: float,
        yaw_rng: np.random.Generator,
        retract: float = 0.0,
        distance: float = 1.0,
    ) -> None:
        self._distance = distance
        self._kind, self._articulation, self._crossing = kind, articulation, crossing
        self._yaw = Wave(yaw_rng, 7.0)
        self._port = np.array(PORTS[place]) + rng.uniform(-8.0, 8.0, 3)
        self._zone = np.array(ZONES[place]) + (np.sign(ZONES[place][0]) * retract, 0.0)
        self._wander = [Wave(rng, 9.0) for _ in range(3)]
        self._roll, self._bend, self._jaw = Wave(rng, 12.0), Wave(rng, 8.0), Wave(rng, 5.0)
        self.roll_offset = rng.uniform(-np.pi, np.pi)

    @property
    def port(self) -> np.ndarray:
        """Where the instrument pivots, camera frame, mm."""
        return self._port

    @property
    def middle(self) -> np.ndarray:
        """About where its tip works, camera frame, mm."""
        return np.array([*self._zone, self._distance * WORKING_DISTANCE])

    def axis(self, t: float, tissue: Tissue, tissue_pose: np.ndarray, others: list[Axis]) -> Axis:
        """Return the centre line at t, lifted clear of the tissue and over the other tools."""
        x = self._zone[0] + self._swing(t) + 12.0 * self._wander[0](t)
        y = self._zone[1] - self._distance * SHEET_SHIFT + 10.0 * self._wander[1](t)
        hover = 1.2 + 13.0 * (0.5 + 0.5 * self._wander[2](t)) ** 2
        z = float(tissue.height(np.array([x]), np.array([y]))[0]) + hover
        port = (self._port - tissue_pose[:3, 3]) @ tissue_pose[:3, :3]
        axis, margin = Axis(port, np.array([x, y, z])), self._sideways(t)
        if self._articulation.close:
            axis = axis.lifted(_lift_from_tissue(axis, tissue, 0.0))
            for _ in range(3):  # lifting tilts the instrument a little
                links = forward_kinematics(self._kind, self.joints(t, axis, tissue_pose))
                axis = axis.lifted(_lift_wrist(links, self._kind, tissue, tissue_pose))
            margin *= 0.35  # jaws seldom point at the neighbour
        else:
            axis = axis.lifted(_lift_from_tissue(axis, tissue, margin))
        return axis.lifted(max([0.0, *(_lift_over(axis, other, margin) for other in others)]))

    def _swing(self, t: float) -> float:
        """Return how far the zone has swung from its own side over to the other and back, mm."""
        if not self._crossing:
            return 0.0
        return float(np.sign(self._zone[0]) * SWING * np.cos(2 * np.pi * t / self._crossing))

    def _sideways(self, t: float) -> float:
        """Return how far a bent wrist takes the jaws from the centre line, mm."""
        pitch, yaw = self._wrist(t)
        length = self._kind.jaw.length
        bent = (self._kind.wrist + length) * abs(np.sin(pitch))
        return float(bent + length * abs(np.sin(yaw)))

    def _wrist(self, t: float) -> tuple[float, float]:
        """Return pitch and yaw at t, rad."""
        joints = self._articulation
        return joints.pitch * self._bend(t), joints.yaw * self._yaw(t)

    def joints(self, t: float, axis: Axis, tissue_pose: np.ndarray) -> JointState:
        """Return the joint state whose shaft lies on the centre line.

        With a straight wrist the midpoint of the jaw tips is the axis' tip; where the joints all
        move, the middle of the jaws is, so that enough of the shaft stays in view.
        """
        opening = self._kind.widest * (0.5 + 0.5 * self._jaw(t)) + 0.03
        tip = tissue_pose[:3, :3] @ axis.tip + tissue_pose[:3, 3]
        z = (tip - self._port) / np.linalg.norm(tip - self._port)
        x = np.cross((0.0, 1.0, 0.0), z)
        x /= np.linalg.norm(x)
        y = np.cross(z, x)
        roll = self.roll_offset + self._articulation.roll * self._roll(t)
        shaft = np.eye(4)
        shaft[:3, 0] = np.cos(roll) * x + np.sin(roll) * y
        shaft[:3, 1] = np.cos(roll) * y - np.sin(roll) * x
        shaft[:3, 2] = z
        ahead = reach(self._kind, opening) * (0.5 if self._articulation.close else 1.0)
        distance = PITCH_JOINT + self._kind.wrist + ahead
        shaft[:3, 3] = tip - z * distance
        pitch, yaw = self._wrist(t)
        return JointState(shaft, pitch, opening, yaw, roll)


def _lift_from_tissue(axis: Axis, tissue: Tissue, tip_margin: float) -> float:
    """Return by how much the tip must rise for the instrument to clear the tissue, mm."""
    back = np.linspace(0.0, 70.0, 36)
    along = (axis.port - axis.tip) / np.linalg.norm(axis.port - axis.tip)
    points = axis.tip + back[:, None] * along
    radii = (1.0 + tip_margin, SHAFT_RADIUS + 0.5 * tip_margin, SHAFT_RADIUS)
    radius = np.interp(back, (0.0, 20.0, 30.0), radii)
    sunk = tissue.height(points[:, 0], points[:, 1]) + radius + 0.5 - points[:, 2]
    return float(max(0.0, sunk.max()))


def _lift_wrist(
    links: LinkPoses, kind: InstrumentType, tissue: Tissue, tissue_pose: np.ndarray
) -> float:
    """Return by how much a bent wrist and its jaws must rise to clear the tissue, mm."""
    along = kind.jaw.length * np.array([0.3, 0.65, 1.0])
    ends = [(links.wrist[:3, 3], 4.0), (links.clevis[:3, 3], 3.5)]
    ends += [(jaw[:3, 3] + z * jaw[:3, 2], 2.5) for jaw in links.jaws for z in along]
    points = (np.array([p for p, _ in ends]) - tissue_pose[:3, 3]) @ tissue_pose[:3, :3]
    radius = np.array([r for _, r in ends])
    sunk = tissue.height(points[:, 0], points[:, 1]) + radius + 0.3 - points[:, 2]
    return float(max(0.0, sunk.max()))


def _lift_over(axis: Axis, other: Axis, margin: float) -> float:
    """Return by how much the tip must rise for the instrument to pass over another one, mm.

    Seen from above, where lifting changes nothing; it begins before the two overlap, so that the
    motion stays continuous.
    """
    along = np.linspace(0.4, 1.0, 40)
    points = axis.port + along[:, None] * (axis.tip - axis.port)
    reach_flat = (other.tip - other.port)[:2]
    nearest = (points - other.port)[:, :2] @ reach_flat / (reach_flat @ reach_flat)
    nearest = np.clip(nearest, 0.0, 1.0)[:, None]
    offset = points - other.port - nearest * (other.tip - other.port)
    clearance = 3.0 * SHAFT_RADIUS + margin
    nearness = np.clip(2.0 - np.hypot(offset[:, 0], offset[:, 1]) / clearance, 0.0, 1.0)
    return float(np.max(nearness * np.maximum(0.0, clearance - offset[:, 2]) / along))
