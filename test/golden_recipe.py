"""Weights and images that golden vectors were made with, from names alone.

Every number comes from numpy's legacy RandomState, whose streams never change, seeded with the
CRC-32 of a name; the expected outputs in test/golden/ were computed by the authors' own code.
"""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / 'golden'


def rng(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))  # noqa: NPY002


def fill(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of the tensor `key` of a state_dict: float32 (int64 for num_batches_tracked)."""
    leaf, generator, count = key.rsplit('.', 1)[-1], rng(key), math.prod(shape)
    if leaf == 'num_batches_tracked':
        return np.zeros(shape, np.int64)
    if leaf == 'running_var':
        values = 0.5 + generator.rand(count)
    elif leaf == 'weight' and len(shape) == 1:
        damping = 0.25 if key.split('.')[-2] in ('bn2', 'bn3') else 1.0
        values = damping * (0.8 + 0.4 * generator.rand(count))
    elif leaf == 'weight':
        values = math.sqrt(2.0 / math.prod(shape[1:])) * generator.randn(count)
    elif leaf == 'positional_encoding_gaussian_matrix':
        values = generator.randn(count)
    else:
        values = 0.1 * generator.randn(count)
    return values.reshape(shape).astype(np.float32)


def fill_network(network: Any) -> Any:
    """Give a torch network the deterministic weights; returns it in evaluation mode."""
    import torch

    state = network.state_dict()
    filled = {key: torch.from_numpy(fill(key, tuple(state[key].shape))) for key in state}
    network.load_state_dict(filled)
    return network.eval()


def texture(name: str, height: int, width: int, cell: int = 16) -> np.ndarray:
    """HxWx3 uint8: a random field, bilinear between nodes `cell` px apart, plus fine noise."""
    generator = rng('image:' + name)
    grid = generator.rand(height // cell + 2, width // cell + 2, 3)
    ys, xs = np.arange(height) / cell, np.arange(width) / cell
    y, x = ys.astype(int), xs.astype(int)
    fy, fx = (ys - y)[:, None, None], (xs - x)[None, :, None]
    top = grid[y][:, x] * (1 - fy) * (1 - fx) + grid[y + 1][:, x] * fy * (1 - fx)
    # summed in the order of the recipe: float addition is not associative
    image = top + grid[y][:, x + 1] * (1 - fy) * fx + grid[y + 1][:, x + 1] * fy * fx
    image = 0.8 * image + 0.2 * generator.rand(height, width, 3)
    return np.clip(np.floor(image * 255.0 + 0.5), 0, 255).astype(np.uint8)


def stereo_pair(
    name: str, height: int, width: int, max_shift: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """HxWx3 uint8 each; the right one is shifted by 0..max_shift px, growing with the row."""
    big = texture(name, height, width + max_shift)
    shifts = np.arange(height) * (max_shift + 1) // height
    right = np.stack([big[y, d : d + width] for y, d in enumerate(shifts)])
    return big[:, :width].copy(), right


def field(
    name: str, channels: int, height: int, width: int, cell: int = 8, noise: float = 0.3
) -> np.ndarray:
    """CxHxW float32: a random field, bilinear between nodes `cell` apart, plus noise."""
    generator = rng('field:' + name)
    grid = generator.randn(height // cell + 2, width // cell + 2, channels)
    ys, xs = np.arange(height) / cell, np.arange(width) / cell
    y, x = ys.astype(int), xs.astype(int)
    fy, fx = (ys - y)[:, None, None], (xs - x)[None, :, None]
    top = grid[y][:, x] * (1 - fy) * (1 - fx) + grid[y + 1][:, x] * fy * (1 - fx)
    values = top + grid[y][:, x + 1] * (1 - fy) * fx + grid[y + 1][:, x + 1] * fy * fx
    values = values + noise * generator.randn(height, width, channels)
    return values.transpose(2, 0, 1).astype(np.float32)
