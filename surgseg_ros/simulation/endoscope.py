"""The virtual stereo endoscope: motion, geometry, light and sensor put together."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from types import TracebackType

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.stereo_frame import ArmState, GroundTruth, StereoFrame
from surgseg_ros.simulation.arm import KINEMATICS, KinematicError, VirtualArm
from surgseg_ros.simulation.camera import BASELINE, pinhole_pair
from surgseg_ros.simulation.darkroom import Darkroom
from surgseg_ros.simulation.instruments import (
    CATALOGUE,
    InstrumentType,
    JointState,
    LinkPoses,
    da_vinci,
    forward_kinematics,
)
from surgseg_ros.simulation.lens import content_area
from surgseg_ros.simulation.looks import sample_look
from surgseg_ros.simulation.materials import MM
from surgseg_ros.simulation.motion import PORTS, Articulation, Axis, EndoscopeMotion, ToolMotion
from surgseg_ros.simulation.raster import BACKGROUND, Rasterizer
from surgseg_ros.simulation.scene import Scene
from surgseg_ros.simulation.shading import View
from surgseg_ros.simulation.tissue import make_field
from surgseg_ros.simulation.truth import tool_truth

MAX_TOOLS = len(PORTS)


@dataclass(frozen=True)
class Moment:
    """Where everything is in one frame.

    tissue: 4x4, left optical frame from tissue, mm. joints, links: one per instrument.
    """

    index: int
    tissue: np.ndarray
    joints: list[JointState]
    links: list[LinkPoses]


class VirtualEndoscope:
    """Renders stereo frames of a simulated operation; see the room's docstring for parameters.

    A frame depends only on the constructor's parameters and its index. Any thread may
    render, one at a time.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 512,
        seed: int = 0,
        rate: float = 10.0,
        num_tools: int | None = None,
        *,
        kinds: Sequence[str] | None = None,
        ports: Sequence[int] | None = None,
        look: str = 'classic',
        without: str = '',
        articulated: bool | None = None,
        wrist_bend: float | None = None,
        wrist_yaw: float | None = None,
        crossing: float = 0.0,
        kinematics: str = '',
        noise: float = 1.0,
        focal_length: float | None = None,
        baseline: float = BASELINE,
        truth: bool = True,
        frames: int | None = None,
        threads: int | None = None,
    ) -> None:
        rng = np.random.default_rng([seed, 2])
        self.look = sample_look(look, seed, list(filter(None, without.split('+'))))
        count = self.look.num_tools if num_tools is None else num_tools
        self.kinds = _choose_kinds(rng, count) if kinds is None else _named_kinds(kinds)
        articulated = self.look.articulated if articulated is None else articulated
        if articulated:
            self.kinds = da_vinci(self.kinds)
        _check(width, height, rate, len(self.kinds))
        entries = _entries(len(self.kinds), ports)
        self.calibration: StereoCalibration = pinhole_pair(width, height, focal_length, baseline)
        self.rate, self.frames = rate, frames
        self._truth = truth
        self._endoscope = EndoscopeMotion(rng, self.look.distance)
        if crossing < 0:
            raise ValueError(f'crossing is {crossing} s, expected 0 (never) or more')
        bends = [_articulation(k, articulated, wrist_bend, wrist_yaw) for k in self.kinds]
        self._tools = [
            ToolMotion(
                rng,
                port,
                kind,
                bend,
                crossing,
                np.random.default_rng([seed, 3, i]),
                back,
                self.look.distance,
            )
            for i, (port, kind, bend, back) in enumerate(
                zip(entries, self.kinds, bends, self.look.retract, strict=False)
            )
        ]
        self._arms = [
            VirtualArm(np.random.default_rng([seed, 4, i]), kind, tool)
            for i, (kind, tool) in enumerate(zip(self.kinds, self._tools, strict=True))
        ]
        self._errors = _kinematic_errors(seed, kinematics, len(self._arms))
        self._tissue = make_field(seed, self.look)
        self._area = content_area(self.look.border, width, height)
        self._scene = Scene(self._tissue, self.kinds, self.calibration)
        self._raster = Rasterizer(self._scene, width, height)
        self._darkroom = Darkroom(
            seed,
            self.look,
            self._tissue,
            self.kinds,
            self._scene.table.shading,
            self._area,
            noise,
            ThreadPoolExecutor(threads or os.cpu_count() or 1),
        )

    def render(self, index: int) -> StereoFrame:
        """Return frame number index (0..), its stamp index / rate in nanoseconds."""
        moment = self.moment(index)
        views = [self._view(moment, eye) for eye in ('left', 'right')]
        left, right = (self._develop(moment, view, eye) for eye, view in enumerate(views))
        truth = self._ground_truth(moment, views[0]) if self._truth else None
        stamp = round(index * 1e9 / self.rate)
        arms = self._arm_states(moment)
        return StereoFrame(stamp, left, right, self.calibration, truth=truth, arms=arms)

    def render_left(self, index: int) -> tuple[np.ndarray, GroundTruth]:
        """Return the left image of render(index) and its truth, in about half the time."""
        moment = self.moment(index)
        view = self._view(moment, 'left')
        return self._develop(moment, view, 0), self._ground_truth(moment, view)

    def truth(self, index: int) -> GroundTruth:
        """Return the truth of render(index) without making the pictures, ten times as fast."""
        moment = self.moment(index)
        return self._ground_truth(moment, self._view(moment, 'left'))

    def moment(self, index: int) -> Moment:
        """Return where tissue and instruments are in frame number index."""
        if index < 0:
            raise ValueError(f'frame index is {index}, expected 0 or more')
        t = index / self.rate
        tissue = self._endoscope.tissue_pose(t)
        axes: list[Axis] = []
        for tool in self._tools:
            axes.append(tool.axis(t, self._tissue, tissue, axes))
        joints = [m.joints(t, axis, tissue) for m, axis in zip(self._tools, axes, strict=True)]
        links = [forward_kinematics(k, j) for k, j in zip(self.kinds, joints, strict=True)]
        return Moment(index, tissue, joints, links)

    def arm_states(self, index: int) -> tuple[ArmState, ...]:
        """Return what the robot's arms report at render(index); none unless kinematics is set."""
        return self._arm_states(self.moment(index))

    def depth_pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the exact depth of the left and of the right view, HxW float32 m."""
        moment = self.moment(index)
        return self._view(moment, 'left').depth, self._view(moment, 'right').depth

    def __iter__(self) -> Iterator[StereoFrame]:
        """Yield frames 0, 1, 2 ...; for ever unless frames was given."""
        return map(self.render, count() if self.frames is None else range(self.frames))

    def close(self) -> None:
        """Free the renderer; calling it twice is harmless."""
        self._raster.close()
        self._darkroom.pool.shutdown()

    def __enter__(self) -> 'VirtualEndoscope':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _arm_states(self, moment: Moment) -> tuple[ArmState, ...]:
        tools = zip(self._arms, moment.joints, self._errors, strict=False)  # of all arms or none
        return tuple(arm.report(i, state, error) for i, (arm, state, error) in enumerate(tools, 1))

    def _view(self, moment: Moment, camera: str) -> View:
        self._scene.place(moment.tissue, moment.links)
        K, baseline = self.calibration.left.K, self.calibration.baseline / MM
        offset = baseline if camera == 'right' else 0.0
        return View(*self._raster.render(camera), K[0, 0], K[0, 2], K[1, 2], offset)

    def _develop(self, moment: Moment, view: View, eye: int) -> np.ndarray:
        light = self._darkroom.light(view, moment.tissue, moment.links)
        return self._darkroom.picture(light, moment.index, eye)

    def _ground_truth(self, moment: Moment, view: View) -> GroundTruth:
        scale = self.calibration.focal_length * self.calibration.baseline
        disparity = np.where(view.geom == BACKGROUND, np.nan, scale / view.depth)
        table = self._scene.table
        parts, instances = (_per_pixel(t, view.geom) for t in (table.part, table.instance))
        if self._area is not None:  # outside the content area there is nothing to see
            outside = self._area < 0.5
            disparity[outside] = np.nan
            parts[outside] = instances[outside] = 0
        tools = zip(self.kinds, moment.joints, moment.links, self._arms, strict=True)
        return GroundTruth(
            disparity.astype(np.float32),
            parts,
            instances,
            tuple(tool_truth(i, *tool, view, instances) for i, tool in enumerate(tools, 1)),
        )


def _per_pixel(values: np.ndarray, geom: np.ndarray) -> np.ndarray:
    """Look up each pixel's geom; 0 where there is none."""
    looked_up: np.ndarray = np.pad(values, (0, 256 - len(values)))[geom]
    return looked_up


def _articulation(
    kind: InstrumentType, articulated: bool, bend: float | None, yaw: float | None
) -> Articulation:
    """Return how far a kind's joints move; pitch and yaw as far as is given, if it is."""
    joints = Articulation.full(kind) if articulated else Articulation()
    pitch = joints.pitch if bend is None else bend
    return replace(joints, pitch=pitch, yaw=joints.yaw if yaw is None else yaw)


def _kinematic_errors(seed: int, kinematics: str, arms: int) -> list[KinematicError]:
    """Return one for each arm; none where no arm reports."""
    if not kinematics:
        return []
    if kinematics not in KINEMATICS:
        raise ValueError(
            f'kinematics is {kinematics!r}, expected {" or ".join(KINEMATICS)}, or nothing'
        )
    rngs = [np.random.default_rng([seed, 5, i]) for i in range(arms)]
    return [KinematicError.draw(rng, kinematics) for rng in rngs]


def _choose_kinds(rng: np.random.Generator, num_tools: int) -> list[InstrumentType]:
    order = rng.permutation(len(CATALOGUE))
    return [CATALOGUE[order[i % len(order)]] for i in range(num_tools)]


def _named_kinds(names: Sequence[str]) -> list[InstrumentType]:
    known = {kind.class_name: kind for kind in CATALOGUE}
    for name in names:
        if name not in known:
            raise ValueError(f'kinds names {name!r}, expected one of {", ".join(known)}')
    return [known[name] for name in names]


def _entries(num_tools: int, ports: Sequence[int] | None) -> Sequence[int]:
    """Where each tool enters, as numbers of PORTS."""
    if ports is None:
        return range(num_tools)
    if len(ports) != num_tools or not set(ports) <= set(range(len(PORTS))):
        raise ValueError(
            f'ports is {list(ports)}, expected a number from 0 to {len(PORTS) - 1} '
            f'for each of the {num_tools} instruments'
        )
    return ports


def _check(width: int, height: int, rate: float, num_tools: int) -> None:
    if width < 16 or height < 16:
        raise ValueError(f'image size is {width}x{height} px, expected at least 16x16')
    if not rate > 0:
        raise ValueError(f'rate is {rate} frames per second, expected a positive number')
    if not 0 <= num_tools <= MAX_TOOLS:
        raise ValueError(f'{num_tools} instruments asked for, expected 0 to {MAX_TOOLS}')
