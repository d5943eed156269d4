"""Residuals of a registration as a picture: which pose, which direction, how far."""

from pathlib import Path

import numpy as np

from surgseg_ros.geometry.hand_eye import Registration
from surgseg_ros.media.files import whole_file


def write_residuals(path: Path, registration: Registration, title: str) -> None:
    """Write a PNG of the residuals (mm) of each pair along the camera's axes; outliers hollow."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    residuals = 1000 * registration.residuals
    figure = Figure(figsize=(9, 6), layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    meanings = ('x, to the right', 'y, downwards', 'z, away from the camera')
    axes = figure.subplots(3, 1, sharex=True, sharey=True)
    numbers = np.arange(len(residuals))
    for axis, column, meaning in zip(axes, residuals.T, meanings, strict=True):
        axis.axhline(0, color='0.7', linewidth=1)
        for chosen, fill in ((registration.inliers, 'tab:blue'), (~registration.inliers, 'none')):
            axis.scatter(
                numbers[chosen], column[chosen], s=24, facecolors=fill, edgecolors='tab:blue'
            )
        axis.set_ylabel(f'{meaning}\n[mm]')
    axes[-1].set_xlabel('pair')
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110)
