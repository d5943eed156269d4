"""Fit what predictors/matching_uncertainty.py knows, on simulated frames.

    surgseg fit-uncertainty --seeds 4000-4008 --frames 6

prints the constant and the weights of the clues. Sigma should be the 66 % quantile of the absolute
error and half its 94 % quantile, a little less than of a normal distribution, because errors on
tools have longer tails; both pinball losses of log |error| are minimised together, over pixels of
tissue and of tools with equal weight.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from surgseg_ros.predictors import matching_uncertainty
from surgseg_ros.predictors.sgbm import SgbmPredictor
from surgseg_ros.simulation import VirtualEndoscope

_QUANTILES = {0.66: 1.0, 0.94: 2.0}  # of the absolute error, in sigmas
_PIXELS = 10_000  # per frame
_FLOOR = 0.02  # px, added to errors before their logarithm
_STEPS, _BATCH, _RATE = 1500, 20_000, 0.03


def samples(
    seed: int, look: str, frames: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per frame: clues n x 4, absolute errors n px, which of them are of tools n bool."""
    predictor, rng = SgbmPredictor(stddev=False), np.random.default_rng(seed)
    options: dict[str, Any] = {'rate': 0.7, 'num_tools': 1 + seed % 3, 'frames': frames}
    with VirtualEndoscope(seed=seed, look=look, **options) as endoscope:
        for frame in endoscope:
            found = predictor.predict(frame.left, frame.right).disparity
            assert frame.truth and frame.truth.disparity is not None
            truth = frame.truth.disparity
            seen = np.isfinite(found) & (np.arange(truth.shape[1]) - truth >= 0)
            chosen = rng.choice(np.flatnonzero(seen), _PIXELS)
            left, right = (
                cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (frame.left, frame.right)
            )
            clues = matching_uncertainty.logarithms(left, right, found)
            yield (
                np.stack([clue.ravel()[chosen] for clue in clues], axis=1),
                np.abs(found - truth).ravel()[chosen],
                np.asarray(frame.truth.instances).ravel()[chosen] > 0,
            )


def fit(clues: np.ndarray, error: np.ndarray, tool: np.ndarray) -> np.ndarray:
    """Constant and weights of log sigma, by gradient descent on the pinball losses."""
    rng = np.random.default_rng(0)
    mean, spread = clues.mean(axis=0), clues.std(axis=0)
    design = np.column_stack([np.ones(len(clues)), (clues - mean) / spread])
    target = np.log(error + _FLOOR)
    groups = [np.flatnonzero(tool), np.flatnonzero(~tool)]
    weights, speed, square = np.zeros((3, design.shape[1]))
    for step in range(1, _STEPS + 1):
        batch = np.concatenate([rng.choice(group, _BATCH // 2) for group in groups])
        left_over = target[batch] - design[batch] @ weights
        slope = sum(
            (left_over > np.log(sigmas)) - (1 - quantile)
            for quantile, sigmas in _QUANTILES.items()
        )
        gradient = -(slope[:, None] * design[batch]).mean(axis=0)
        speed = 0.9 * speed + 0.1 * gradient  # Adam
        square = 0.999 * square + 0.001 * gradient**2
        rate = _RATE * (1 - step / _STEPS) + 1e-4
        weights -= rate * speed / (1 - 0.9**step) / np.sqrt(square / (1 - 0.999**step) + 1e-12)
    slopes = weights[1:] / spread
    return np.append(weights[0] - slopes @ mean, slopes)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--seeds', default='4000-4008', help='FIRST-LAST (4000-4008)')
    parser.add_argument('--frames', type=int, default=6, help='frames of each seed (6)')
    parser.add_argument(
        '--looks', nargs='+', default=['classic'], help='looks of the scene (classic)'
    )


def run(args: argparse.Namespace) -> None:
    """Print the numbers for predictors/matching_uncertainty.py."""
    first, last = map(int, args.seeds.split('-'))
    parts = [
        part
        for seed in range(first, last + 1)
        for look in args.looks
        for part in samples(seed, look, args.frames)
    ]
    clues, error, tool = (np.concatenate(column) for column in zip(*parts, strict=True))
    constant, *weights = np.round(fit(clues, error, tool), 3)
    print(f'CONSTANT = {constant}\nWEIGHTS = {[float(weight) for weight in weights]}')


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else '')
    add_arguments(parser)
    run(parser.parse_args())


if __name__ == '__main__':
    main()
