"""Frames of a CSV list, one pair of images per line, that may say where their results go.

MSDESIS's scripts disagree about such a list: what create_io_csv writes has a header and the
segmentation before the disparity, what inference_csv reads has neither. Both are read here:
columns count by their names, and only where there is no header by their order in COLUMNS.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from surgseg_ros.frames.foreign import printable
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.media.image_files import read_rgb
from surgseg_ros.sources.base import (
    DEFAULT_RATE,
    Calibration,
    FrameSource,
    load_calibration,
    size_of,
    stamp_at,
)

COLUMNS = ('left', 'right', 'disparity', 'segmentation')


class CsvSource(FrameSource):
    """Pairs of images that a CSV file lists.

    columns: those that must be there; without 'right' among them, a list that has no right images
    gives the left ones twice. root: folder of relative images, default that of the list. rate: Hz.

    rows: per frame the list's text by column, so that `rows[0]['disparity']` is where a caller
    shall write it. Raises ValueError or FileNotFoundError naming line and column.
    """

    OPTIONS = ('calibration', 'rate', 'root', 'columns')
    counted = True

    def __init__(
        self,
        path: Path,
        calibration: Calibration | None = None,
        rate: float = DEFAULT_RATE,
        root: str | Path | None = None,
        columns: Sequence[str] = ('left', 'right'),
    ) -> None:
        self.path, self.name, self.rate = path, f'list {path}', rate
        self._root = path.parent if root is None else Path(root)
        numbered = _rows(path, columns)
        self.rows = [row for _, row in numbered]
        for line, row in numbered:
            for side, image in self._images(row).items():
                if not image.is_file():
                    raise FileNotFoundError(
                        f'line {line} of {path}: there is no {side} image {image}'
                    )
        self.count = len(self.rows)
        first = read_rgb(next(self.images()))
        self.calibration = load_calibration(calibration, size_of(first))

    def frames(self) -> Iterator[StereoFrame]:
        """See FrameSource."""
        for index, row in enumerate(self.rows):
            images = [read_rgb(path) for path in self._images(row).values()]
            yield StereoFrame(stamp_at(index, self.rate), images[0], images[-1], self.calibration)

    def images(self) -> Iterator[Path]:
        """Paths of all images."""
        for row in self.rows:
            yield from self._images(row).values()

    def frame_name(self, index: int) -> str:
        """As the file of the left image."""
        return Path(self.rows[index]['left']).stem

    def _images(self, row: dict[str, str]) -> dict[str, Path]:
        return {side: self._root / row[side] for side in ('left', 'right') if side in row}


def _rows(path: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells by column of every pair in the list."""
    lines = _lines(path)
    header = _header(path, lines[0][1])
    if header:
        lines = lines[1:]
    names = header or list(COLUMNS[: len(lines[0][1])])
    missing = [name for name in needed if name not in names]
    if missing:
        raise ValueError(
            f'{path} has no column {", ".join(missing)}; it has {", ".join(names)}'
            + ('' if header else ' (without a header the order is ' + ', '.join(COLUMNS) + ')')
        )
    if not lines:
        raise ValueError(f'{path} has a header and no images')
    rows = []
    for number, cells in lines:
        if len(cells) != len(names):
            raise ValueError(
                f'line {number} of {path} has {len(cells)} columns, expected '
                f'{len(names)}: {", ".join(names)}'
            )
        row = dict(zip(names, cells, strict=True))
        _check_row(path, number, row, needed)
        rows.append((number, row))
    return rows


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of every line that is not empty."""
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'{path} is not a CSV list: {error}') from None
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise ValueError(f'{path} is empty, expected lines of {",".join(COLUMNS)}')
    return lines


def _header(path: Path, cells: list[str]) -> list[str] | None:
    """Names of the columns if the first line has them; ValueError if it has wrong ones."""
    names = [cell.lower() for cell in cells]
    expected = ', '.join(COLUMNS)
    if not set(names) & set(COLUMNS):
        if len(cells) > len(COLUMNS) or not any(Path(cell).suffix for cell in cells):
            raise ValueError(
                f'the first line of {path} ({", ".join(cells)}) is neither a header with columns '
                f'called {expected} nor paths in this order'
            )
        return None
    for number, name in enumerate(names, 1):
        if name not in COLUMNS:
            raise ValueError(f'column {number} of {path} is called {name!r}, expected {expected}')
        if names.count(name) > 1:
            raise ValueError(f'{path} has two columns called {name!r}')
    return names


def _check_row(path: Path, number: int, row: dict[str, str], needed: Sequence[str]) -> None:
    for name in needed:
        if not row[name]:
            raise ValueError(f'line {number} of {path} has no {name}')
    for name, cell in row.items():
        if cell != printable(cell):
            raise ValueError(f'line {number} of {path}: {name} has control characters in its name')
    for one, other in (('left', 'right'), ('disparity', 'segmentation')):
        first, second = row.get(one, ''), row.get(other, '')
        if first != second and other in first and first.replace(other, one) == second:
            raise ValueError(
                f'line {number} of {path} has {first} as {one} and {second} as {other}: '
                'the columns are swapped'
            )
