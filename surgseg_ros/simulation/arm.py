"""Virtual robot arms: what a da Vinci's manipulators would report of the simulated instruments.

Each instrument is held by a PSM whose remote centre is the instrument's port. Its base frame
stands still in the camera's, as its seed says. Inside this room poses are in millimetres; what
arms know, base frames and joint positions are in metres, as in geometry.dvrk_kinematics.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from surgseg_ros.frames.stereo_frame import ArmState
from surgseg_ros.geometry.dvrk_kinematics import (
    INSERTION_OFFSET,
    SHAFT,
    Manipulator,
    endowrist,
    psm_joints,
)
from surgseg_ros.simulation.instruments import InstrumentType, JointState, forward_kinematics
from surgseg_ros.simulation.materials import MM
from surgseg_ros.simulation.motion import ToolMotion

KINEMATICS = ('exact', 'kit')  # how true an arm's joints are
# What a real kit's joints are wrong by: constant offsets of the positioning joints (rad, rad, m)
# and of roll and wrist (rad), and a scale. Of random sign or direction they displace the control
# point by 5 mm and turn it by 3.6 degrees on average, what arXiv 2406.07375 measures.
POSITION_OFFSETS, WRIST_OFFSET, SCALE = (0.023, 0.023, 0.003), 0.047, 0.01
# The axes of the kit's roll link, as columns in the shaft frame; the control point's in the clevis
_ROLL_LINK = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_CONTROL_POINT = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def control_point(clevis: np.ndarray) -> np.ndarray:
    """Return the dVRK's control point (4x4): x along the jaws' axis, z along their bisector."""
    pose = clevis.copy()
    pose[:3, :3] = clevis[:3, :3] @ _CONTROL_POINT
    return pose


@dataclass(frozen=True)
class KinematicError:
    """What an arm's joint sensors are wrong by: measured = scale * true + offset."""

    offset: np.ndarray
    scale: np.ndarray

    @staticmethod
    def draw(rng: np.random.Generator, kinematics: str) -> 'KinematicError':
        """Return none ('exact') or one as of a real kit ('kit')."""
        signs = rng.choice([-1.0, 1.0], 3)
        direction = rng.normal(size=3)
        offset = np.concatenate(
            [signs * POSITION_OFFSETS, WRIST_OFFSET * direction / np.linalg.norm(direction)]
        )
        scale = 1.0 + SCALE * rng.choice([-1.0, 1.0], 6)
        exact = kinematics == 'exact'
        return KinematicError(0.0 * offset, np.ones(6)) if exact else KinematicError(offset, scale)


class VirtualArm:
    """The PSM that holds one instrument; base: 4x4, left optical frame from its base frame, m."""

    def __init__(self, rng: np.random.Generator, kind: InstrumentType, tool: ToolMotion) -> None:
        port, ahead = tool.port, tool.middle - tool.port
        self._model = Manipulator(psm_joints(), endowrist(kind.wrist * MM))
        self._kind = kind
        self.base = np.eye(4)
        self.base[:3, :3] = _base_rotation(rng, ahead)
        self.base[:3, 3] = port * MM
        self._turn = 0.0  # between the roll as commanded and the roll joint
        straight = np.eye(4)
        straight[:3, 3] = port
        straight[:3, :3] = _towards(ahead)
        turn = float(self.joints(JointState(straight, 0.0, 0.0))[3])
        self._turn = turn - 2 * np.pi * round((turn + tool.roll_offset) / (2 * np.pi))

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, the kit's."""
        return tuple(joint.name for joint in self._model.joints)

    def joints(self, state: JointState) -> np.ndarray:
        """Return the six joint positions, rad and (insertion) m, with which it stands so."""
        pivot = forward_kinematics(self._kind, state).wrist[:3, 3] * MM
        reached = self.base[:3, :3].T @ (pivot - self.base[:3, 3])
        distance = np.linalg.norm(reached)
        x, y, z = reached / distance
        q = np.array([np.arctan2(x, -z), -np.arcsin(y), 0.0, 0.0, state.bend, state.yaw])
        q[2] = distance - INSERTION_OFFSET - SHAFT
        inserted = self._model.links(q)[2][:3, :3]
        turned = inserted.T @ self.base[:3, :3].T @ state.shaft[:3, :3] @ _ROLL_LINK
        roll = np.arctan2(turned[1, 0], turned[0, 0])
        expected = state.roll + self._turn
        q[3] = expected + np.arctan2(np.sin(roll - expected), np.cos(roll - expected))
        return q

    def report(self, slot: int, state: JointState, error: KinematicError) -> ArmState:
        """Return what the arm says in this state."""
        measured = error.scale * self.joints(state) + error.offset
        return ArmState(
            name=f'PSM{slot}',
            slot=slot,
            measured_cp=self._model.measured_cp(measured),
            joint_names=self.joint_names,
            positions=measured,
            jaw=state.opening,
            base=self.base,
        )


def _base_rotation(rng: np.random.Generator, direction: np.ndarray) -> np.ndarray:
    """Return a base whose instrument points along `direction` with yaw and pitch near 0."""
    spin = Rotation.from_rotvec([0.0, 0.0, rng.uniform(-np.pi, np.pi)])
    tilt = Rotation.from_rotvec(rng.uniform(-0.2, 0.2, 3))
    upright = _towards(-direction)  # a PSM's instrument points down its base's z
    return np.asarray(upright @ (tilt * spin).as_matrix())


def _towards(direction: np.ndarray) -> np.ndarray:
    """Return a rotation whose z is this direction, and whose x lies across the camera's y."""
    z = direction / np.linalg.norm(direction)
    x = np.cross((0.0, 1.0, 0.0), z)
    x /= np.linalg.norm(x)
    return np.column_stack([x, np.cross(z, x), z])
