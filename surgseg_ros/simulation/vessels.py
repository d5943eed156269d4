"""Branching blood vessels, grown as random walks and drawn into a texture."""

from dataclasses import dataclass

import cv2
import numpy as np

STEP = 0.6  # mm


@dataclass(frozen=True)
class Branch:
    """One vessel branch: points n x 2 and radii n, mm."""

    points: np.ndarray
    radii: np.ndarray


def grow_tree(
    rng: np.random.Generator, start: np.ndarray, heading: float, radius: float
) -> list[Branch]:
    """Return the branches of one vessel; each child keeps 55-80 % of its parent's radius."""
    branches: list[Branch] = []
    pending = [(start, heading, radius)]
    while pending:
        start, heading, radius = pending.pop()
        steps = int(rng.uniform(22.0, 44.0) * (0.4 + radius) / STEP)
        turns = np.cumsum(rng.normal(0.0, 0.10, steps)) + 0.45 * np.sin(
            np.arange(steps) * rng.uniform(0.15, 0.4) + rng.uniform(0.0, 6.3)
        )
        angles = heading + turns
        points = start + STEP * np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), axis=0)
        radii = np.linspace(radius, 0.6 * radius, steps)
        if not branches:  # the trunk surfaces gradually
            radii *= np.minimum(1.0, 0.1 + np.arange(steps) * STEP / 10.0)
        branches.append(Branch(points, radii))
        if radius > 0.09:
            for at in rng.choice(steps, size=min(2, steps), replace=False):
                child = angles[at] + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.1)
                pending.append((points[at], child, radius * rng.uniform(0.45, 0.75)))
    return branches


def draw_branches(branches: list[Branch], size: int, scale: float) -> np.ndarray:
    """Draw branches into a size x size float32 mask, 0..1; scale in px per mm, origin centred.

    A vessel thinner than a pixel is drawn one pixel wide and fainter.
    """
    mask = np.zeros((size, size), np.uint8)
    for branch in branches:
        pixels = np.round((branch.points * scale + size / 2) * 16).astype(np.int32)
        for i in range(0, len(pixels) - 1, 4):
            width = 2.0 * scale * float(branch.radii[i])
            shade = int(255 * min(1.0, 0.35 + 0.4 * width / 2))
            cv2.polylines(
                mask, [pixels[i : i + 5]], False, shade, max(1, round(width)), cv2.LINE_AA, 4
            )
    return cv2.GaussianBlur(mask, (0, 0), 1.1).astype(np.float32) / 255.0
