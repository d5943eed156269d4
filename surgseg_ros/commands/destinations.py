"""Which files the results of `surgseg infer` go to."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros.media.files import below, whole_file
from surgseg_ros.sources import CsvSource, FrameSource

TIFF = ('.tiff', '.tif')


class Destinations:
    """Which file each result of each frame goes to.

    folder: holds a folder per kind, with names as the inputs; or what relative paths of a CSV
    list are below, default that of the list. suffixes: by kind ('disparity', 'segmentation', ...),
    of files that are not listed. count: frames, None if unknown.
    Raises ValueError if two results would be one file, or an image would be overwritten.
    """

    def __init__(
        self,
        source: FrameSource,
        folder: Path | None,
        suffixes: Mapping[str, str],
        count: int | None,
    ) -> None:
        self._source, self._suffixes = source, suffixes
        list_folder = source.path.parent if isinstance(source, CsvSource) else Path()
        self._folder = folder or list_folder
        self._check(count or 0)

    def paths(self, index: int) -> dict[str, Path]:
        """By kind, those of one frame."""
        return {kind: self._path(index, kind) for kind in self._suffixes}

    def _path(self, index: int, kind: str) -> Path:
        if isinstance(self._source, CsvSource) and kind in self._source.rows[index]:
            return below(self._folder, self._source.rows[index][kind])
        name = self._source.frame_name(index) + self._suffixes[kind]
        return below(self._folder, Path(kind) / name)

    def _check(self, count: int) -> None:
        taken: dict[Path, str] = {}
        if isinstance(self._source, CsvSource):
            taken = {path.resolve(): 'an image of the list' for path in self._source.images()}
        # names that are not from a list are numbers: how many there are, nobody knows for sure
        for index in range(count if self._source.counted else min(count, 1)):
            for kind, path in self.paths(index).items():
                fitting = TIFF + ('.png',) if kind == 'disparity' else (self._suffixes[kind],)
                if path.suffix.lower() not in fitting:
                    raise ValueError(
                        f'{kind} cannot be written as {path}, expected a name '
                        f'ending in {" or ".join(fitting)}'
                    )
                what = f'the {kind} of frame {index}'
                if path.resolve() in taken:
                    raise ValueError(f'{path} would be {what} and is {taken[path.resolve()]}')
                taken[path.resolve()] = what


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write an image as OpenCV does, but wholly or not at all; OSError if it cannot."""
    with whole_file(path) as partial:
        if not cv2.imwrite(str(partial), pixels):
            raise OSError(f'{path} cannot be written')
