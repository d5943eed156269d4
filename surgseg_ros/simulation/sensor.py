"""From light to pixels: slight blur, glow of highlights, tone curve, sensor noise."""

import math

import cv2
import numba
import numpy as np

BLUR, BLUR_PER_WIDTH = 0.30, 1 / 1800  # px: demosaicing, and the optics' share of the width
GLOW = 0.10  # share of over-exposed light that the lens scatters
NOISE_READ, NOISE_SHOT = 0.006, 0.012  # standard deviation in display units: a + b * sqrt(signal)
CONTRAST = 0.45  # share of an S-shaped curve
_TONE_STEPS = 4096
_TONE_RANGE = 4.0


def develop(light: np.ndarray, noise_seed: int, noise: float = 1.0) -> np.ndarray:
    """Return HxWx3 uint8 RGB from HxWx3 float32 linear light (1 = white).

    noise scales the sensor's noise; equal seeds give equal noise.
    """
    height, width = light.shape[:2]
    small = (max(1, width // 8), max(1, height // 8))
    over = cv2.resize(np.maximum(light - 0.9, 0.0), small, interpolation=cv2.INTER_AREA)
    glow = cv2.resize(cv2.GaussianBlur(np.minimum(over, 4.0), (0, 0), 1.5), (width, height))
    image = cv2.GaussianBlur(np.minimum(light, _TONE_RANGE), (0, 0), BLUR + BLUR_PER_WIDTH * width)
    out = np.empty((height, width, 3), np.uint8)
    seed = np.uint64(noise_seed % (1 << 64))
    _expose(image, glow, GLOW, _tone_curve(), seed, noise, out)
    return out


def _tone_curve() -> np.ndarray:
    """Return display values 0..1 for light 0.._TONE_RANGE: soft shoulder, gamma, contrast."""
    light = np.linspace(0.0, _TONE_RANGE, _TONE_STEPS)
    display = (1.0 - np.exp(-1.5 * light)) ** (1 / 2.2)
    contrast = display * display * (3.0 - 2.0 * display)
    return (display + CONTRAST * (contrast - display)).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _expose(
    image: np.ndarray,
    glow: np.ndarray,
    share: float,
    tone: np.ndarray,
    seed: np.uint64,
    noise: float,
    out: np.ndarray,
) -> None:
    height, width, _ = image.shape
    steps = (tone.shape[0] - 1) / _TONE_RANGE
    for row in range(height):
        for column in range(width):
            for c in range(3):
                light = image[row, column, c] + share * glow[row, column, c]
                value = tone[min(int(light * steps), tone.shape[0] - 1)]
                counter = np.uint64((row * width + column) * 3 + c)
                sigma = noise * (NOISE_READ + NOISE_SHOT * math.sqrt(value))
                value += sigma * _gaussian(seed, counter)
                out[row, column, c] = np.uint8(min(max(value, 0.0), 1.0) * 255.0 + 0.5)


@numba.njit(cache=True, nogil=True)
def _gaussian(seed: np.uint64, counter: np.uint64) -> float:
    """Return unit-variance noise of a pixel: four 16-bit uniforms of one SplitMix64 draw."""
    z = seed + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = (z & low) + ((z >> np.uint64(16)) & low) + ((z >> np.uint64(32)) & low)
    total += z >> np.uint64(48)
    return (np.float64(total) / 65535.0 - 2.0) * 1.7320508
