"""The operating field: a sheet of tissue with relief, colour and vessels.

Tissue coordinates: x right and y up-field along the sheet, z towards the endoscope; origin in
the sheet's centre. Lengths in millimetres here; the renderer converts.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import map_coordinates

from surgseg_ros.simulation.looks import Backdrop, Look, TissueLook
from surgseg_ros.simulation.noise import cell_distance, fractal_noise, smooth_noise, smoothstep
from surgseg_ros.simulation.vessels import Branch, draw_branches, grow_tree

SIDE = 170.0  # mm, edge length of the square sheet
RELIEF_SIZE = 512
TEXTURE_SIZE = 2048
RELIEF_RANGE = (-7.0, 9.0)  # mm

Srgb = tuple[int, int, int]


class Palette(NamedTuple):
    """sRGB colours of tissue, picked by eye to sit between published in-vivo frames."""

    peritoneum: Srgb = (190, 98, 94)
    band: Srgb = (218, 148, 142)
    flush: Srgb = (150, 42, 44)
    fat: Srgb = (214, 128, 96)
    organs: tuple[Srgb, Srgb, Srgb] = ((128, 36, 38), (190, 92, 92), (150, 62, 58))
    artery: Srgb = (138, 14, 20)
    vein: Srgb = (88, 18, 36)


PALETTES = {
    'classic': Palette(),
    'pale': Palette(
        (214, 164, 150), (232, 196, 184), (190, 110, 100), (226, 190, 140),
        ((178, 96, 88), (214, 150, 140), (196, 130, 118)), (166, 60, 56), (120, 70, 90),
    ),
    'dark': Palette(
        (104, 34, 32), (140, 70, 64), (72, 14, 16), (150, 90, 50),
        ((62, 14, 16), (98, 36, 36), (80, 26, 24)), (60, 6, 10), (40, 8, 18),
    ),
    'yellow': Palette(
        (206, 150, 74), (226, 186, 120), (176, 84, 50), (226, 182, 84),
        ((150, 70, 44), (206, 140, 80), (180, 104, 60)), (150, 34, 24), (110, 44, 40),
    ),
    'bluish': Palette(
        (170, 112, 130), (206, 170, 184), (130, 58, 84), (196, 150, 140),
        ((96, 50, 72), (166, 110, 132), (126, 80, 104)), (124, 22, 44), (70, 40, 84),
    ),
    'liver': Palette(
        (120, 54, 40), (158, 96, 76), (92, 34, 28), (196, 140, 72),
        ((84, 32, 26), (136, 66, 50), (106, 48, 36)), (92, 20, 20), (60, 20, 28),
    ),
}  # fmt: skip
BLOOD: Srgb = (96, 4, 8)


@dataclass(frozen=True)
class Tissue:
    """One operating field.

    relief: n x n float32, height in mm. albedo: N x N x 4 uint8, square root of the linear RGB
    albedo and, last, roughness. slope: N x N x 2 float32, dz/dx and dz/dy with fine bumps.
    stretch: how much larger than SIDE the sheet is spread.
    """

    relief: np.ndarray
    albedo: np.ndarray
    slope: np.ndarray
    stretch: float = 1.0

    def from_camera(self, pose: np.ndarray) -> np.ndarray:
        """Return 3x4, from the camera to the unstretched sheet; pose: camera from tissue.

        Its transpose turns the slopes of the unstretched sheet into those of the stretched one.
        """
        inverse = np.linalg.inv(pose)[:3]
        stretched: np.ndarray = inverse / np.array([[self.stretch], [self.stretch], [1.0]])
        return stretched

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the relief in mm at tissue coordinates in mm (nearest border value outside)."""
        last = self.relief.shape[0] - 1
        column = np.clip((np.asarray(x) / self.stretch / SIDE + 0.5) * (last + 1) - 0.5, 0, last)
        row = np.clip((np.asarray(y) / self.stretch / SIDE + 0.5) * (last + 1) - 0.5, 0, last)
        at = np.stack([row, column])
        relief: np.ndarray = map_coordinates(self.relief, at, order=1, mode='nearest')
        return relief


@dataclass(frozen=True)
class _Regions:
    """Soft masks n x n float32, 0..1, of what covers the sheet where."""

    fat: np.ndarray
    flush: np.ndarray
    ridges: np.ndarray
    organs: list[np.ndarray]


def make_field(seed: int, look: Look) -> Tissue:
    """Return what lies under the instruments of a seed: tissue, or a backdrop in its place."""
    backdrop = look.backdrop
    field = make_backdrop(seed, backdrop) if backdrop else make_tissue(seed, look.tissue)
    return replace(field, stretch=look.distance)


def make_tissue(seed: int, look: TissueLook | None = None) -> Tissue:
    """Return the operating field of a seed; about a second of work."""
    look = look or TissueLook()
    rng = np.random.default_rng([seed, 1])
    organs, domes = _organs(rng)
    fat = smoothstep(fractal_noise(rng, RELIEF_SIZE, 4), 0.0, 0.35) * (1 - np.max(organs, 0))
    flush = smoothstep(fractal_noise(rng, RELIEF_SIZE, 5), 0.1, 0.7)
    ridges = np.maximum(1.0 - 1.3 * np.abs(fractal_noise(rng, RELIEF_SIZE, 5, 3)), 0.0) ** 3
    regions = _Regions(fat, flush, ridges * (1 - np.max(organs, 0)), organs)
    relief = _relief(rng, domes, fat, regions.ridges)
    arteries, veins = _vessel_masks(rng)
    albedo = _albedo(rng, regions, relief, arteries, veins, PALETTES[look.palette])
    slope = _slope(rng, relief, arteries + veins)
    return Tissue(relief, albedo if look == TissueLook() else _graded(albedo, seed, look), slope)


def make_backdrop(seed: int, look: Backdrop) -> Tissue:
    """Return a drape with weave and folds, or a plain bench, in the place of tissue."""
    rng = np.random.default_rng([seed, 8])
    folds = cv2.GaussianBlur(look.folds * fractal_noise(rng, RELIEF_SIZE, 4, 3), (0, 0), 2.0)
    relief = np.clip(folds - folds.mean(), *RELIEF_RANGE).astype(np.float32)
    thread, slope = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE), np.float32), _slope(rng, relief, None)
    if look.weave:
        turns = np.arange(TEXTURE_SIZE) * SIDE / TEXTURE_SIZE * 2 * np.pi / look.weave
        thread = np.sin(turns)[:, None] * np.sin(turns)
        slope[..., 0] += 0.15 * np.cos(turns)
        slope[..., 1] += 0.15 * np.cos(turns)[:, None]
    share = smoothstep(fractal_noise(rng, TEXTURE_SIZE, 6, 3), -0.2, 0.5)[..., None]
    colour = (1 - share) * np.array(look.colour) + share * np.array(look.second)
    colour = colour * (1.0 + 0.25 * thread + 0.1 * smooth_noise(rng, TEXTURE_SIZE, 60))[..., None]
    rough = np.full((TEXTURE_SIZE, TEXTURE_SIZE), look.rough)
    return Tissue(relief, _packed(colour, rough), slope.astype(np.float32))


def _graded(albedo: np.ndarray, seed: int, look: TissueLook) -> np.ndarray:
    """Return the texture with other gains and saturation, blood pools and gloss."""
    rng = np.random.default_rng([seed, 9])
    colour, rough = (albedo[..., :3] / 255.0) ** 2, albedo[..., 3] / 255.0 - look.gloss
    colour = colour * np.array(look.gain)
    colour = (1 - look.grey) * colour + look.grey * colour.mean(axis=2, keepdims=True)
    field = fractal_noise(rng, TEXTURE_SIZE, 5, 5)
    if look.blood:
        pool = smoothstep(field - np.quantile(field, 1.0 - look.blood), 0.0, 0.06)
        colour = _blend(colour, BLOOD, 0.85 * pool)
        rough = rough - 0.12 * pool
    return _packed(colour, rough)


def _packed(colour: np.ndarray, rough: np.ndarray) -> np.ndarray:
    packed = np.dstack([np.sqrt(np.clip(colour, 0.0, 1.0)), np.clip(rough, 0.12, 0.6)])
    return np.round(packed * 255).astype(np.uint8)


def _organs(rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Return masks of dome-shaped organs and their common height in mm."""
    ticks = ((np.arange(RELIEF_SIZE) + 0.5) / RELIEF_SIZE - 0.5).astype(np.float32) * SIDE
    x, y = np.meshgrid(ticks, ticks)
    wobble = 5.0 * fractal_noise(rng, RELIEF_SIZE, 6, 2)
    masks, domes = [], []
    for quadrant in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        (cx, cy), turn = rng.uniform(12.0, 62.0, 2) * quadrant, rng.uniform(0.0, np.pi)
        long, short = rng.uniform(24.0, 42.0), rng.uniform(12.0, 20.0)
        along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn) + wobble
        across = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn) + wobble
        inside = 1.0 - (along / long) ** 2 - (across / short) ** 2
        masks.append(smoothstep(inside, 0.0, 0.06))
        domes.append(rng.uniform(6.0, 9.0) * np.sqrt(np.maximum(inside, 0.0)))
    top = np.max(domes, axis=0)
    visible = [cv2.GaussianBlur((d >= top).astype(np.float32), (0, 0), 1.0) for d in domes]
    return [mask * v for mask, v in zip(masks, visible, strict=True)], top


def _relief(
    rng: np.random.Generator, domes: np.ndarray, fat: np.ndarray, ridges: np.ndarray
) -> np.ndarray:
    lobules = np.maximum(1.0 - 1.6 * cell_distance(rng, RELIEF_SIZE, 26) ** 2, 0.0)
    relief = 3.5 * fractal_noise(rng, RELIEF_SIZE, 3, 3) + domes + 2.5 * ridges
    relief += 1.8 * fat * lobules + 0.5 * fractal_noise(rng, RELIEF_SIZE, 16, 2)
    relief = cv2.GaussianBlur(relief.astype(np.float32), (0, 0), 0.7 * RELIEF_SIZE / SIDE)
    limited: np.ndarray = np.clip(relief - relief.mean(), *RELIEF_RANGE).astype(np.float32)
    return limited


def _vessel_masks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    def forest(trees: int, low: float, high: float) -> list[Branch]:
        branches: list[Branch] = []
        for _ in range(trees):
            start, heading = rng.uniform(-SIDE / 2, SIDE / 2, 2), rng.uniform(0.0, 2 * np.pi)
            branches += grow_tree(rng, start, heading, rng.uniform(low, high))
        return branches

    scale = TEXTURE_SIZE / SIDE
    arteries = draw_branches(forest(55, 0.12, 0.34), TEXTURE_SIZE, scale)
    veins = draw_branches(forest(9, 0.3, 0.7), TEXTURE_SIZE, scale)
    return arteries, veins


def _albedo(
    rng: np.random.Generator,
    regions: _Regions,
    relief: np.ndarray,
    arteries: np.ndarray,
    veins: np.ndarray,
    palette: Palette,
) -> np.ndarray:
    colour = np.broadcast_to(_linear(palette.peritoneum), (RELIEF_SIZE, RELIEF_SIZE, 3))
    colour = _blend(colour, palette.flush, 0.75 * regions.flush)
    colour = _blend(colour, palette.fat, 0.85 * regions.fat)
    colour = _blend(colour, palette.band, 0.7 * regions.ridges)
    for mask in regions.organs:
        colour = _blend(colour, palette.organs[rng.integers(len(palette.organs))], 0.9 * mask)
    valleys = cv2.GaussianBlur(relief, (0, 0), 10) - relief
    colour = _blend(colour, palette.flush, 0.7 * smoothstep(valleys, 0.2, 2.0))
    size = (TEXTURE_SIZE, TEXTURE_SIZE)
    colour = cv2.resize(np.ascontiguousarray(colour, np.float32), size)
    mottle = 1.0 + 0.22 * fractal_noise(rng, TEXTURE_SIZE, 40, 4, 0.7)
    colour = colour * mottle[..., None] ** np.array([0.6, 1.2, 1.1], np.float32)
    fade = 0.75 + 0.25 * smooth_noise(rng, TEXTURE_SIZE, 12)
    colour = _blend(colour, palette.vein, 0.55 * veins * fade)
    colour = _blend(colour, palette.artery, 0.8 * arteries * fade)
    rough = 0.27 + 0.09 * fractal_noise(rng, TEXTURE_SIZE, 24, 2)
    return _packed(colour, rough)


def _slope(rng: np.random.Generator, relief: np.ndarray, vessels: np.ndarray | None) -> np.ndarray:
    fine = cv2.resize(relief, (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(fine, (0, 0), 5.0)  # hides the coarse grid in highlights
    fine = fine + 0.05 * fractal_noise(rng, TEXTURE_SIZE, 100, 3, 0.5)
    if vessels is not None:
        fine = fine + 0.25 * cv2.GaussianBlur(vessels, (0, 0), 3.0)
    per_mm = TEXTURE_SIZE / SIDE
    dy, dx = np.gradient(fine)
    return (np.dstack([dx, dy]) * per_mm).astype(np.float32)


def _linear(srgb: tuple[int, int, int]) -> np.ndarray:
    return ((np.array(srgb, np.float32) / 255.0) ** 2.2).astype(np.float32)


def _blend(colour: np.ndarray, srgb: tuple[int, int, int], weight: np.ndarray) -> np.ndarray:
    w = weight[..., None].astype(np.float32)
    blended: np.ndarray = colour + w * (_linear(srgb) - colour)
    return blended
