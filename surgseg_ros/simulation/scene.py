"""The MuJoCo model of the operating field: one mocap body per moving link, no physics."""

from dataclasses import dataclass

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.parts import Part
from surgseg_ros.simulation.gl import mujoco
from surgseg_ros.simulation.instruments import (
    COLLAR,
    PITCH_JOINT,
    SHAFT_LENGTH,
    SHAFT_RADIUS,
    InstrumentType,
    LinkPoses,
)
from surgseg_ros.simulation.jaws import jaw_mesh
from surgseg_ros.simulation.materials import MM, Material
from surgseg_ros.simulation.tissue import SIDE, Tissue

MESH_SIZE = 257  # vertices along the sheet's edge; 513 doubles the rendering time
CYLINDER_SLICES = 128  # MuJoCo's 28 would flatten shafts by 25 micrometres
NEAR, FAR = 0.01, 0.5  # m
Shape = dict[str, object]  # a geom's keyword arguments


@dataclass(frozen=True)
class GeomTable:
    """What each MuJoCo geom is; arrays of length ngeom, uint8."""

    material: np.ndarray
    part: np.ndarray
    instance: np.ndarray

    @property
    def shading(self) -> np.ndarray:
        """Material and instance, 2 x ngeom, as the shader wants them."""
        return np.stack([self.material, self.instance])


class Scene:
    """The compiled model with its two cameras 'left' and 'right'; world = left optical frame."""

    def __init__(
        self, tissue: Tissue, kinds: list[InstrumentType], calibration: StereoCalibration
    ) -> None:
        self._spec = _empty_spec(calibration)
        self._surfaces: list[tuple[Material, Part, int]] = []
        self._add_tissue(tissue)
        for slot, kind in enumerate(kinds, 1):
            self._add_instrument(slot, kind)
        self.model = self._spec.compile()
        self.data = mujoco.MjData(self.model)
        self.table = self._geom_table()

    def place(self, tissue_pose: np.ndarray, tools: list[LinkPoses]) -> None:
        """Move everything to these 4x4 poses (camera from link, mm)."""
        self._move('tissue', tissue_pose)
        for slot, links in enumerate(tools, 1):
            self._move(f'shaft{slot}', links.shaft)
            self._move(f'wrist{slot}', links.wrist)
            self._move(f'jaw{slot}a', links.jaws[0])
            self._move(f'jaw{slot}b', links.jaws[1])
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def _move(self, name: str, pose: np.ndarray) -> None:
        slot = self.model.body(name).mocapid[0]
        self.data.mocap_pos[slot] = pose[:3, 3] * MM
        mujoco.mju_mat2Quat(self.data.mocap_quat[slot], pose[:3, :3].flatten())

    def _body(self, name: str) -> mujoco.MjsBody:
        return self._spec.worldbody.add_body(name=name, mocap=True)

    def _geom(
        self, body: mujoco.MjsBody, material: Material, part: Part, slot: int, **shape: object
    ) -> None:
        body.add_geom(name=str(len(self._surfaces)), contype=0, conaffinity=0, **shape)
        self._surfaces.append((material, part, slot))

    def _geom_table(self) -> GeomTable:
        names = [self.model.geom(i).name for i in range(self.model.ngeom)]
        rows = np.array([self._surfaces[int(name)] for name in names], np.uint8)
        return GeomTable(*rows.T.copy())

    def _mesh(self, name: str, vertices: np.ndarray, faces: np.ndarray) -> Shape:
        self._spec.add_mesh(
            name=name,
            uservert=(vertices * MM).ravel(),
            userface=faces.ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )
        return {'type': mujoco.mjtGeom.mjGEOM_MESH, 'meshname': name}

    def _add_tissue(self, tissue: Tissue) -> None:
        mesh = self._mesh('tissue', *_sheet(tissue))
        self._geom(self._body('tissue'), Material.TISSUE, Part.NONE, 0, **mesh)

    def _add_instrument(self, slot: int, kind: InstrumentType) -> None:
        shaft, wrist = self._body(f'shaft{slot}'), self._body(f'wrist{slot}')
        tube = _cylinder(SHAFT_RADIUS, (0, 0, -SHAFT_LENGTH), (0, 0, 0))
        self._geom(shaft, Material.SHAFT, Part.SHAFT, slot, **tube)
        for shape in _shaft_end():
            self._geom(shaft, Material.STEEL, Part.WRIST, slot, **shape)
        for shape in _wrist(kind.wrist):
            self._geom(wrist, Material.STEEL, Part.WRIST, slot, **shape)
        for body, shape in ((shaft, _pin((1, 0, 0), PITCH_JOINT, 3.7)), (wrist, _hub())):
            self._geom(body, Material.DARK_STEEL, Part.WRIST, slot, **shape)
        blade = self._mesh(f'jaw{slot}', *jaw_mesh(kind.jaw))
        for name in ('a', 'b'):
            jaw = self._body(f'jaw{slot}{name}')
            self._geom(jaw, Material.STEEL, Part.JAW, slot, **blade)
            self._geom(jaw, Material.STEEL, Part.JAW, slot, **_disc((0, 1, 0), 0.0, 2.1, 0.6, 1.2))


def _shaft_end() -> list[Shape]:
    """Return the steel collar and the proximal clevis that holds the pitch joint."""
    shapes = [_cylinder(SHAFT_RADIUS, (0, 0, 0), (0, 0, COLLAR))]
    for x, y in ((1.2, 1.5), (1.2, -1.5), (-1.2, 1.5), (-1.2, -1.5)):  # the cables
        shapes.append(_cylinder(0.3, (x, y, COLLAR), (x, y, PITCH_JOINT + 1.0)))
    for side in (-2.6, 2.6):
        shapes.append(_box((side, 0), (0.7, 2.4), COLLAR, PITCH_JOINT))
        shapes.append(_disc((1, 0, 0), PITCH_JOINT, 2.6, side, 1.7))
    return shapes


def _wrist(length: float) -> list[Shape]:
    """Return the neck and the distal clevis that holds the jaws, `length` from pitch to yaw."""
    shapes = [_cylinder(1.7, (0, 0, 0.5), (0, 0, 3.5))]
    for side in (-2.3, 2.3):
        shapes.append(_box((0, side), (1.9, 0.55), 2.0, length))
        shapes.append(_disc((0, 1, 0), length, 2.3, side, 1.4))
    shapes.append(_pin((0, 1, 0), length, 3.2))
    return shapes


def _hub() -> Shape:
    return _disc((1, 0, 0), 0.0, 2.3, 0.0, 3.6)


def _pin(axis: tuple[int, ...], z: float, half_length: float) -> Shape:
    return _disc(axis, z, 1.0, 0.0, 2 * half_length)


def _disc(
    axis: tuple[int, ...], z: float, radius: float, offset: float, thickness: float
) -> Shape:
    """Return a disc across axis at height z, its middle offset along the axis."""
    centre = np.array([0.0, 0.0, z]) + offset * np.array(axis)
    half = 0.5 * thickness * np.array(axis)
    return _cylinder(radius, tuple(centre - half), tuple(centre + half))


def _empty_spec(calibration: StereoCalibration) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    left = calibration.left
    spec.visual.global_.offwidth, spec.visual.global_.offheight = left.width, left.height
    spec.visual.quality.offsamples = 0
    spec.visual.quality.numslices = CYLINDER_SLICES
    spec.visual.map.znear, spec.visual.map.zfar = NEAR, FAR
    spec.stat.extent = 1.0
    for name, x in (('left', 0.0), ('right', calibration.baseline)):
        camera = getattr(calibration, name)
        width, height = camera.width, camera.height
        spec.worldbody.add_camera(
            name=name,
            pos=(x, 0.0, 0.0),
            quat=(0.0, 1.0, 0.0, 0.0),  # MuJoCo's cameras look along -z with y up
            resolution=(width, height),
            sensor_size=(1e-3 * width, 1e-3 * height),
            focal_pixel=(camera.K[0, 0], camera.K[1, 1]),
            principal_pixel=((width - 1) / 2 - camera.K[0, 2], (height - 1) / 2 - camera.K[1, 2]),
        )
    return spec


def _sheet(tissue: Tissue) -> tuple[np.ndarray, np.ndarray]:
    """Return the relief as vertices (mm) and triangles."""
    ticks = np.linspace(-0.5, 0.5, MESH_SIZE) * SIDE * tissue.stretch
    x, y = (grid.ravel() for grid in np.meshgrid(ticks, ticks))
    corner = (np.arange(MESH_SIZE - 1)[:, None] * MESH_SIZE + np.arange(MESH_SIZE - 1)).ravel()
    right, up, both = corner + 1, corner + MESH_SIZE, corner + MESH_SIZE + 1
    faces = np.concatenate(
        [np.column_stack([corner, right, both]), np.column_stack([corner, both, up])]
    )
    return np.column_stack([x, y, tissue.height(x, y)]), faces


def _cylinder(radius: float, start: tuple[float, ...], end: tuple[float, ...]) -> Shape:
    return {
        'type': mujoco.mjtGeom.mjGEOM_CYLINDER,
        'fromto': [*(MM * v for v in start), *(MM * v for v in end)],
        'size': (radius * MM, 0, 0),
    }


def _box(
    centre: tuple[float, float], half: tuple[float, float], bottom: float, top: float
) -> Shape:
    """Return an upright box: x and y of its centre and half sizes, z from bottom to top."""
    return {
        'type': mujoco.mjtGeom.mjGEOM_BOX,
        'pos': [MM * v for v in (*centre, 0.5 * (bottom + top))],
        'size': [MM * v for v in (*half, 0.5 * (top - bottom))],
    }
