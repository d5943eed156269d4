"""Smooth random fields: the raw material of tissue relief and colour."""

import cv2
import numpy as np


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Return a size x size float32 field of one spatial frequency, about -1..1, zero mean."""
    grid = rng.uniform(-1.0, 1.0, (cells, cells)).astype(np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def fractal_noise(
    rng: np.random.Generator, size: int, cells: int, octaves: int = 4, gain: float = 0.5
) -> np.ndarray:
    """Return octaves of smooth_noise, each twice as fine and gain times as strong."""
    field = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        field += gain**octave * smooth_noise(rng, size, cells << octave)
    return field


def cell_distance(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Return size x size float32: distance to the nearest of cells**2 jittered points.

    In units of the points' mean spacing (Worley's F1, SIGGRAPH 1996).
    """
    ticks = (np.arange(cells) + 0.5) * size / cells
    points = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    points += rng.uniform(-0.4, 0.4, points.shape) * size / cells
    seeds = np.full((size, size), 255, np.uint8)
    columns, rows = np.clip(points.astype(int), 0, size - 1).T
    seeds[rows, columns] = 0
    return cv2.distanceTransform(seeds, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * (cells / size)


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 below low, 1 above high, and a cubic ramp between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
