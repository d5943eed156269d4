"""Figures as a table: for a terminal, as CSV, and as LaTeX for a paper."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from surgseg_ros.frames.foreign import printable

Cell = float | int | str | None

# of LaTeX: names of classes come from files, and a backslash in one would be a command
_SPECIAL = {
    **{one: f'\\{one}' for one in '%_&#${}'},
    '\\': r'\textbackslash{}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '±': r'$\pm$',
    '>': r'$>$',
    '<': r'$<$',
}


@dataclass(frozen=True)
class Table:
    """protocol: how the figures are defined; stands beside every one of them.

    columns: titles, with units. rows: a name and a cell for each column; None is not known.
    decimals: of numbers that are not whole.
    """

    protocol: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    decimals: int = 2

    def text(self) -> str:
        """For a terminal."""
        names = [self.protocol, *(printable(name) for name, _ in self.rows)]
        width = max(map(len, names)) + 2
        lines = [f'{self.protocol:<{width}}' + ''.join(map(_column, self.columns))]
        for name, (_, cells) in zip(names[1:], self.rows, strict=True):
            shown = zip(self.columns, map(self.shown, cells), strict=True)
            lines.append(
                f'{name:<{width}}'
                + ''.join(f'{value:>{len(_column(title))}}' for title, value in shown)
            )
        return '\n'.join(lines)

    def csv(self) -> str:
        """Comma-separated: a line per row, with the protocol in front."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['protocol', 'name', *self.columns])
        for name, cells in self.rows:
            writer.writerow([self.protocol, name, *('' if one is None else one for one in cells)])
        return file.getvalue()

    def latex(self) -> str:
        """A tabular of LaTeX's booktabs."""
        head = _row([self.protocol, *self.columns])
        body = [_row([name, *map(self.shown, cells)]) for name, cells in self.rows]
        lines = [
            rf'\begin{{tabular}}{{l{"r" * len(self.columns)}}}',
            r'\toprule',
            head,
            r'\midrule',
            *body,
            r'\bottomrule',
            r'\end{tabular}',
        ]
        return '\n'.join(lines) + '\n'

    def shown(self, cell: Cell) -> str:
        """A cell as text; '-' where nothing is known."""
        if cell is None or cell != cell:
            return '-'
        return f'{cell:.{self.decimals}f}' if isinstance(cell, float) else str(cell)


def _column(title: str) -> str:
    return f'{title:>{max(10, len(title) + 2)}}'


def _row(cells: Sequence[str]) -> str:
    return (
        ' & '.join(''.join(_SPECIAL.get(one, one) for one in printable(x)) for x in cells) + r' \\'
    )
