"""Which surface each pixel sees and how far away it is: MuJoCo's off-screen renderer."""

import numpy as np

from surgseg_ros.simulation.gl import make_context, mujoco
from surgseg_ros.simulation.scene import FAR, NEAR, Scene

BACKGROUND = 255


class Rasterizer:
    """Renders a scene's geom ids and depth; owns the OpenGL context until close()."""

    def __init__(self, scene: Scene, width: int, height: int) -> None:
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._gl = make_context(width, height)
        with self._gl.as_current():  # and not longer, so that any thread may render
            self._mjr = mujoco.MjrContext(scene.model, mujoco.mjtFontScale.mjFONTSCALE_50)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._mjr)
        self._mjr.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = scene
        self._view = mujoco.MjvScene(scene.model, maxgeom=scene.model.ngeom + 8)
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._rgb = np.empty((height, width, 3), np.uint8)
        self._depth = np.empty((height, width), np.float32)

    def render(self, camera: str) -> tuple[np.ndarray, np.ndarray]:
        """Return geom ids (HxW uint8, BACKGROUND where nothing is) and depth (HxW float32, m)."""
        if self._mjr is None:
            raise RuntimeError('the virtual endoscope is closed and renders no more frames')
        model = self._scene.model
        eye = mujoco.MjvCamera()
        eye.type = mujoco.mjtCamera.mjCAMERA_FIXED
        eye.fixedcamid = model.camera(camera).id
        every = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(model, self._scene.data, self._option, None, eye, every, self._view)
        self._view.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = 1
        self._view.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        with self._gl.as_current():
            mujoco.mjr_render(self._rect, self._view, self._mjr)
            mujoco.mjr_readPixels(self._rgb, self._depth, self._rect, self._mjr)
        ids = self._geom_of_colour()[self._rgb[::-1, :, 0]]
        return ids, _metric_depth(self._depth[::-1])

    def close(self) -> None:
        """Free the OpenGL context; calling it twice is harmless."""
        if self._mjr is not None:
            with self._gl.as_current():
                self._mjr.free()
            self._gl.free()
            self._mjr = None

    def _geom_of_colour(self) -> np.ndarray:
        """Return the geom id for each value of the red channel (MuJoCo draws segment id + 1)."""
        table = np.full(256, BACKGROUND, np.uint8)
        for geom in self._view.geoms[: self._view.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                table[geom.segid + 1] = geom.objid
        return table


def _metric_depth(buffer: np.ndarray) -> np.ndarray:
    """Undo MuJoCo's reversed-Z projection: 1 at the near plane, 0 at the far plane."""
    scale = np.float32(NEAR * FAR / (FAR - NEAR))
    offset = np.float32(NEAR / (FAR - NEAR))
    return scale / (buffer + offset)
