"""The virtual stereo endoscope: motion, geometry, light and sensor put together."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from types import TracebackType

import numpy as np

from surgseg_ros.geometry.calibration import StereoCalibration
from surgseg_ros.geometry.stereo_frame import GroundTruth, StereoFrame, ToolTruth
from surgseg_ros.simulation.camera import BASELINE, pinhole_pair
from surgseg_ros.simulation.instruments import (
    CATALOGUE,
    InstrumentType,
    JointState,
    LinkPoses,
    forward_kinematics,
)
from surgseg_ros.simulation.materials import MM
from surgseg_ros.simulation.motion import PORTS, Axis, EndoscopeMotion, ToolMotion
from surgseg_ros.simulation.raster import BACKGROUND, Rasterizer
from surgseg_ros.simulation.scene import Scene
from surgseg_ros.simulation.sensor import develop
from surgseg_ros.simulation.shading import Surfaces, View, shade_rows
from surgseg_ros.simulation.shadows import shadow_casters
from surgseg_ros.simulation.tissue import make_tissue

MAX_TOOLS = len(PORTS)
BANDS = 8  # of rows, shared among the threads


class VirtualEndoscope:
    """Renders stereo frames of a simulated operation; see the room's docstring for parameters.

    A frame depends only on the constructor's parameters and its index. Not thread-safe: render
    from the thread that made it (the OpenGL context belongs to that thread).
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 512,
        seed: int = 0,
        rate: float = 10.0,
        num_tools: int = 2,
        *,
        truth: bool = True,
        wrist_bend: float = 0.0,
        noise: float = 1.0,
        focal_length: float | None = None,
        baseline: float = BASELINE,
        frames: int | None = None,
    ) -> None:
        _check(width, height, rate, num_tools)
        self.calibration: StereoCalibration = pinhole_pair(width, height, focal_length, baseline)
        self.rate, self.frames = rate, frames
        self._seed, self._truth, self._noise = seed, truth, noise
        rng = np.random.default_rng([seed, 2])
        order = rng.permutation(len(CATALOGUE))
        self._kinds = [CATALOGUE[order[i % len(order)]] for i in range(num_tools)]
        self._endoscope = EndoscopeMotion(rng)
        self._tools = [ToolMotion(rng, i, kind, wrist_bend) for i, kind in enumerate(self._kinds)]
        self._tissue = make_tissue(seed)
        self._scene = Scene(self._tissue, self._kinds, self.calibration)
        self._raster = Rasterizer(self._scene, width, height)
        self._pool = ThreadPoolExecutor(max_workers=max(1, os.cpu_count() or 1))

    def render(self, index: int) -> StereoFrame:
        """Return frame number index (0..), its stamp index / rate in nanoseconds."""
        t = index / self.rate
        tissue_pose = self._endoscope.tissue_pose(t)
        states = self._joint_states(t, tissue_pose)
        tools = [forward_kinematics(k, s) for k, s in zip(self._kinds, states, strict=True)]
        self._scene.place(tissue_pose, tools)
        left, right = self._raster.render('left'), self._raster.render('right')
        images = [
            self._develop(*view, eye, index, tissue_pose, tools)
            for eye, view in enumerate((left, right))
        ]
        truth = self._ground_truth(*left, states, tools) if self._truth else None
        stamp = round(index * 1e9 / self.rate)
        return StereoFrame(stamp, *images, calibration=self.calibration, truth=truth)

    def __iter__(self) -> Iterator[StereoFrame]:
        """Yield frames 0, 1, 2 ...; for ever unless frames was given."""
        index = 0
        while self.frames is None or index < self.frames:
            yield self.render(index)
            index += 1

    def close(self) -> None:
        """Free the renderer; calling it twice is harmless."""
        self._raster.close()
        self._pool.shutdown()

    def __enter__(self) -> 'VirtualEndoscope':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _joint_states(self, t: float, tissue_pose: np.ndarray) -> list[JointState]:
        axes: list[Axis] = []
        for tool in self._tools:
            axes.append(tool.axis(t, self._tissue, tissue_pose, axes))
        return [tool.joints(t, axis) for tool, axis in zip(self._tools, axes, strict=True)]

    def _develop(
        self,
        geom: np.ndarray,
        depth: np.ndarray,
        eye: int,
        index: int,
        tissue_pose: np.ndarray,
        tools: list[LinkPoses],
    ) -> np.ndarray:
        """Shade one eye's view in parallel bands of rows and turn the light into pixels."""
        K, maps = self.calibration.left.K, self._tissue
        eye_x = eye * self.calibration.baseline / MM
        seen = View(geom, depth, K[0, 0], K[0, 2], K[1, 2], eye_x)
        shafts = np.array([np.linalg.inv(tool.shaft)[:3] for tool in tools]).reshape(-1, 3, 4)
        surfaces = Surfaces(
            self._scene.table.shading, maps.albedo, maps.slope, np.linalg.inv(tissue_pose)[:3],
            shafts, shadow_casters(tools, self._kinds, seen),
        )  # fmt: skip
        light = np.empty((*geom.shape, 3), np.float32)
        bounds = np.linspace(0, geom.shape[0], BANDS + 1).astype(int)
        shade = partial(shade_rows, seen, surfaces)
        list(self._pool.map(shade, bounds[:-1], bounds[1:], repeat(light)))
        noise_seed = np.random.SeedSequence([self._seed, index, eye]).generate_state(1, np.uint64)
        return develop(light, int(noise_seed[0]), self._noise)

    def _ground_truth(
        self,
        geom: np.ndarray,
        depth: np.ndarray,
        states: list[JointState],
        tools: list[LinkPoses],
    ) -> GroundTruth:
        disparity = (self.calibration.focal_length * self.calibration.baseline / depth).astype(
            np.float32
        )
        disparity[geom == BACKGROUND] = np.nan
        table = self._scene.table
        pad = (0, 256 - len(table.part))
        return GroundTruth(
            disparity,
            np.pad(table.part, pad)[geom],
            np.pad(table.instance, pad)[geom],
            tuple(
                ToolTruth(slot, kind.class_id, kind.class_name, _metres(tool.tip), state.opening)
                for slot, (kind, tool, state) in enumerate(
                    zip(self._kinds, tools, states, strict=True), 1
                )
            ),
        )


def _metres(pose: np.ndarray) -> np.ndarray:
    pose = pose.copy()
    pose[:3, 3] *= MM
    return pose


def _check(width: int, height: int, rate: float, num_tools: int) -> None:
    if width < 16 or height < 16:
        raise ValueError(f'image size is {width}x{height} px, expected at least 16x16')
    if not rate > 0:
        raise ValueError(f'rate is {rate} frames per second, expected a positive number')
    if not 0 <= num_tools <= MAX_TOOLS:
        raise ValueError(f'num_tools is {num_tools}, expected 0 to {MAX_TOOLS}')
