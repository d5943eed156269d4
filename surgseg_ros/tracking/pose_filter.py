"""Poses over time: a Kalman filter of constant velocity for every keypoint and for the axes.

Works in a fixed frame where the camera's motion is known, else in the camera's. A track
belongs to the track_id of an instance. A measurement with a large innovation (Mahalanobis
distance) is rejected; after REFUSALS rejections in a row the track is reset to the measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from surgseg_ros.frames.tool_pose import (
    KeypointKind,
    PoseReason,
    PoseState,
    ToolKeypoint,
    ToolPose,
)

GATE = 16.27  # chi squared of three degrees of freedom, 99.9 %
REFUSALS = 3
ACCELERATION = 0.5  # m/s^2: how much instruments speed up, standard deviation
ANGULAR_ACCELERATION = 20.0  # rad/s^2
JAW_ACCELERATION = 20.0
_HALF_TURN = np.diag([-1.0, -1.0, 1.0])


class ConstantVelocity:
    """Position and velocity of n numbers, and their covariance; per second."""

    def __init__(self, position: np.ndarray, covariance: np.ndarray, speed: float) -> None:
        n = len(position)
        self.mean = np.concatenate([position, np.zeros(n)])
        self.covariance = np.zeros((2 * n, 2 * n))
        self.covariance[:n, :n] = covariance
        self.covariance[n:, n:] = speed**2 * np.eye(n)

    @property
    def n(self) -> int:
        """Number of components."""
        return len(self.mean) // 2

    def predict(self, seconds: float, acceleration: float) -> None:
        """Predict at constant velocity."""
        n = self.n
        F = np.eye(2 * n)
        F[:n, n:] = seconds * np.eye(n)
        G = np.vstack([0.5 * seconds**2 * np.eye(n), seconds * np.eye(n)])
        self.mean = F @ self.mean
        self.covariance = F @ self.covariance @ F.T + acceleration**2 * G @ G.T

    def distance(self, measured: np.ndarray, covariance: np.ndarray) -> float:
        """Squared Mahalanobis distance of the innovation of a measurement."""
        n = self.n
        error = measured - self.mean[:n]
        return float(error @ np.linalg.solve(self.covariance[:n, :n] + covariance, error))

    def correct(self, measured: np.ndarray, covariance: np.ndarray) -> None:
        """Update with a measurement."""
        n = self.n
        S = self.covariance[:n, :n] + covariance
        K = np.linalg.solve(S, self.covariance[:n]).T
        self.mean = self.mean + K @ (measured - self.mean[:n])
        self.covariance = self.covariance - K @ S @ K.T


@dataclass
class _Track:
    """One instrument: its last pose in the fixed frame, and the filters."""

    pose: ToolPose
    seconds: float
    points: dict[KeypointKind, ConstantVelocity]
    control: ConstantVelocity
    turn: ConstantVelocity  # rotation vector from `rotation`
    rotation: np.ndarray
    jaw: ConstantVelocity
    missed: int = 0
    refused: int = 0
    slot: int = 0


class PoseFilter:
    """Filters the poses of frame after frame.

    max_gap: frames without an instrument after which its track still goes on. predicts: whether
    such frames get a pose with the state PREDICTED. max_tools: slots, given from 1 upwards.
    """

    def __init__(self, max_gap: int = 10, predicts: bool = False, max_tools: int = 4) -> None:
        self.max_gap, self.predicts, self.max_tools = max_gap, predicts, max_tools
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._tracks: dict[int, _Track] = {}

    def update(
        self,
        seconds: float,
        poses: Sequence[ToolPose],
        fixed_from_camera: np.ndarray | None = None,
    ) -> list[ToolPose]:
        """Return the poses of a frame, filtered, each with its slot; without one it is left out.

        seconds: the frame's time. fixed_from_camera: 4x4, or None where the camera stands still.
        Poses need track_ids; those with 0 pass unfiltered, if a slot is free.
        """
        camera = np.eye(4) if fixed_from_camera is None else fixed_from_camera
        back = np.linalg.inv(camera)
        seen = {pose.track_id: pose for pose in poses if pose.track_id}
        self._age(seen)
        out = []
        for pose in poses:
            slot = self._slot(pose.track_id)
            if not slot:
                continue
            if pose.track_id and pose.state == PoseState.MEASURED:
                filtered = self._measured(seconds, moved(pose, camera), slot)
                pose = moved(filtered, back)
            elif pose.track_id in self._tracks and self.predicts:
                pose = moved(self._predicted(pose.track_id, seconds), back)
            out.append(replace(pose, slot=slot))
        if self.predicts:
            for number, track in self._tracks.items():
                if number not in seen and track.missed:
                    out.append(moved(self._predicted(number, seconds), back))
        return sorted(out, key=lambda pose: pose.slot)

    def _age(self, seen: Mapping[int, ToolPose]) -> None:
        for number, track in list(self._tracks.items()):
            track.missed = 0 if number in seen else track.missed + 1
            if track.missed > self.max_gap:
                del self._tracks[number]
        self._used: set[int] = {track.slot for track in self._tracks.values()}

    def _slot(self, number: int) -> int:
        """Slot of a track, or the lowest that is free; 0 where none is."""
        if number in self._tracks:
            return self._tracks[number].slot
        free = (slot for slot in range(1, self.max_tools + 1) if slot not in self._used)
        slot = next(free, 0)
        self._used.add(slot)
        return slot

    def _measured(self, seconds: float, pose: ToolPose, slot: int) -> ToolPose:
        track = self._tracks.get(pose.track_id)
        if track is None or seconds <= track.seconds:
            return self._begin(seconds, pose, slot)
        pose = _turned_like(pose, track.rotation)
        self._advance(track, seconds)
        position = pose.control_point[:3, 3]
        covariance = pose.control_covariance[:3, :3]
        if track.control.distance(position, covariance) > GATE:
            track.refused += 1
            if track.refused >= REFUSALS:
                return self._begin(seconds, pose, slot)
            return self._state(track, PoseState.PREDICTED) if self.predicts else pose
        track.refused = 0
        _correct(track, pose)
        track.pose = pose
        return self._state(track, PoseState.MEASURED)

    def _begin(self, seconds: float, pose: ToolPose, slot: int) -> ToolPose:
        self._tracks[pose.track_id] = _Track(
            pose,
            seconds,
            {k: ConstantVelocity(p.point, p.covariance, 0.1) for k, p in pose.keypoints.items()},
            ConstantVelocity(pose.control_point[:3, 3], pose.control_covariance[:3, :3], 0.1),
            ConstantVelocity(np.zeros(3), _turn_covariance(pose), 2.0),
            pose.control_point[:3, :3].copy(),
            ConstantVelocity(np.array([pose.jaw_angle]), np.array([[pose.jaw_variance]]), 2.0),
            slot=slot,
        )
        return pose

    def _advance(self, track: _Track, seconds: float) -> None:
        passed = seconds - track.seconds
        track.seconds = seconds
        for one in (*track.points.values(), track.control):
            one.predict(passed, ACCELERATION)
        track.turn.predict(passed, ANGULAR_ACCELERATION)
        track.jaw.predict(passed, JAW_ACCELERATION)

    def _predicted(self, number: int, seconds: float) -> ToolPose:
        track = self._tracks[number]
        if seconds > track.seconds:
            self._advance(track, seconds)
        return self._state(track, PoseState.PREDICTED)

    @staticmethod
    def _state(track: _Track, state: PoseState) -> ToolPose:
        """The filter's pose, in the fixed frame."""
        old = track.pose
        control = np.eye(4)
        control[:3, :3] = Rotation.from_rotvec(track.turn.mean[:3]).as_matrix() @ track.rotation
        control[:3, 3] = track.control.mean[:3]
        covariance = old.control_covariance.copy()
        covariance[:3, :3] = track.control.covariance[:3, :3]
        keypoints = {
            kind: replace(
                point,
                point=track.points[kind].mean[:3],
                covariance=track.points[kind].covariance[:3, :3],
            )
            for kind, point in old.keypoints.items()
            if kind in track.points
        }
        shaft = old.shaft.copy()
        if KeypointKind.SHAFT_END in keypoints:
            shaft[:3, 3] = keypoints[KeypointKind.SHAFT_END].point
        twist = np.concatenate([track.control.mean[3:], track.turn.mean[3:]])
        return replace(
            old,
            state=state,
            slot=track.slot,
            shaft=shaft,
            control_point=control,
            control_covariance=covariance,
            keypoints=keypoints,
            twist=twist,
            twist_covariance=_twist_covariance(track),
            jaw_angle=float(track.jaw.mean[0]),
            jaw_variance=float(track.jaw.covariance[0, 0]),
        )


def _correct(track: _Track, pose: ToolPose) -> None:
    track.control.correct(pose.control_point[:3, 3], pose.control_covariance[:3, :3])
    for kind, point in pose.keypoints.items():
        if kind == KeypointKind.ENTRY or kind not in track.points:  # jumps along the border
            track.points[kind] = ConstantVelocity(point.point, point.covariance, 0.1)
        else:
            track.points[kind].correct(point.point, point.covariance)
    turn = Rotation.from_matrix(pose.control_point[:3, :3] @ track.rotation.T).as_rotvec()
    track.turn.correct(turn, _turn_covariance(pose))
    step = Rotation.from_rotvec(track.turn.mean[:3]).as_matrix()
    track.rotation, track.turn.mean[:3] = step @ track.rotation, 0.0
    if np.isfinite(pose.jaw_angle):
        track.jaw.correct(np.array([pose.jaw_angle]), np.array([[pose.jaw_variance]]))


def _turn_covariance(pose: ToolPose) -> np.ndarray:
    """Of the axes, half turns aside: the filter keeps to one of the two."""
    C = pose.control_covariance[3:, 3:].copy()
    if pose.reasons & PoseReason.HALF_TURN:
        z = pose.control_point[:3, 2]
        C -= np.pi**2 / 2 * np.outer(z, z)
        low, vectors = np.linalg.eigh(C)
        C = (vectors * np.maximum(low, 1e-4)) @ vectors.T
    return np.asarray(C)


def _turned_like(pose: ToolPose, rotation: np.ndarray) -> ToolPose:
    """Of two orientations half a turn apart that look alike, the one nearer to the track's."""
    R = pose.control_point[:3, :3]
    if not pose.reasons & PoseReason.HALF_TURN or np.trace(R @ rotation.T) >= np.trace(
        R @ _HALF_TURN @ rotation.T
    ):
        return pose
    control, shaft = pose.control_point.copy(), pose.shaft.copy()
    control[:3, :3], shaft[:3, :3] = R @ _HALF_TURN, shaft[:3, :3] @ _HALF_TURN
    keypoints = dict(pose.keypoints)
    first, second = KeypointKind.JAW_TIP_1, KeypointKind.JAW_TIP_2
    if first in keypoints and second in keypoints:
        keypoints[first], keypoints[second] = keypoints[second], keypoints[first]
    joints = pose.joints
    if joints is not None:
        joints = replace(joints, roll=joints.roll + np.pi, pitch=-joints.pitch, yaw=-joints.yaw)
    return replace(pose, control_point=control, shaft=shaft, keypoints=keypoints, joints=joints)


def _twist_covariance(track: _Track) -> np.ndarray:
    C = np.zeros((6, 6))
    C[:3, :3], C[3:, 3:] = track.control.covariance[3:, 3:], track.turn.covariance[3:, 3:]
    return C


def moved(pose: ToolPose, transform: np.ndarray) -> ToolPose:
    """The same instrument seen from another frame: transform is 4x4, new frame from old."""
    R = transform[:3, :3]
    both = np.kron(np.eye(2), R)
    keypoints: dict[KeypointKind, ToolKeypoint] = {
        kind: replace(
            one, point=R @ one.point + transform[:3, 3], covariance=R @ one.covariance @ R.T
        )
        for kind, one in pose.keypoints.items()
    }
    return replace(
        pose,
        shaft=transform @ pose.shaft,
        control_point=transform @ pose.control_point,
        keypoints=keypoints,
        shaft_covariance=both @ pose.shaft_covariance @ both.T,
        control_covariance=both @ pose.control_covariance @ both.T,
        twist=both @ pose.twist,
        twist_covariance=both @ pose.twist_covariance @ both.T,
    )
