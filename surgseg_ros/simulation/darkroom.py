"""From what a pixel sees to its colour: light, lens, sensor and recorder of one look."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import numpy as np

from surgseg_ros.simulation.instruments import InstrumentType, LinkPoses
from surgseg_ros.simulation.lens import blurred, lit, recorded
from surgseg_ros.simulation.looks import Look
from surgseg_ros.simulation.sensor import develop
from surgseg_ros.simulation.shading import Surfaces, View, shade_rows, tool_row
from surgseg_ros.simulation.shadows import shadow_casters
from surgseg_ros.simulation.tissue import Tissue

BANDS = 8  # of rows, shared among the threads


@dataclass(frozen=True)
class Darkroom:
    """Makes pictures of one operation.

    table: material and instance of each geom. area: HxW share of content, None where all is.
    noise: factor on the sensor's. pool: of the threads that shade.
    """

    seed: int
    look: Look
    tissue: Tissue
    kinds: list[InstrumentType]
    table: np.ndarray
    area: np.ndarray | None
    noise: float
    pool: ThreadPoolExecutor

    def light(self, view: View, tissue_pose: np.ndarray, links: list[LinkPoses]) -> np.ndarray:
        """Shade the view of one camera in parallel bands of rows: HxWx3 float32, 1 = white."""
        lamps = self.look.light.lamps
        shafts = [np.linalg.inv(tool.shaft)[:3] for tool in links]
        surfaces = Surfaces(
            table=self.table,
            albedo=self.tissue.albedo,
            slope=self.tissue.slope,
            tissue_from_camera=self.tissue.from_camera(tissue_pose),
            shaft_from_camera=np.array(shafts).reshape(-1, 3, 4),
            casters=shadow_casters(links, self.kinds, view, lamps.key, self.look.distance),
            lamps=lamps,
            tools=np.array([tool_row(colours) for colours in self.look.tools]),
        )
        light = np.empty((*view.geom.shape, 3), np.float32)
        rows = np.linspace(0, view.geom.shape[0], BANDS + 1).astype(int)
        shade = partial(shade_rows, view, surfaces)
        list(self.pool.map(shade, rows[:-1], rows[1:], repeat(light)))
        return light

    def picture(self, light: np.ndarray, index: int, eye: int) -> np.ndarray:
        """Turn light into the picture of frame `index`, HxWx3 uint8 RGB; eye: 0 left, 1 right."""
        grain = np.random.SeedSequence([self.seed, index, eye])
        grains = int(grain.generate_state(1, np.uint64)[0])
        if self.look.name == 'classic':
            return develop(light, grains, self.noise)
        look = self.look.degradation
        shake = np.random.default_rng([self.seed, 10, index])
        light = blurred(
            lit(light, self.look.light, eye, self.look.distance), look, self.seed, shake
        )
        image = develop(light, grains, self.noise * look.noise)
        return recorded(image, self.look.border, self.area, look)
