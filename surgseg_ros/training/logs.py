"""CSV and TensorBoard, written from the progress: a resumed run has no row twice."""

import csv
import shutil
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from surgseg_ros.media.files import whole_file
from surgseg_ros.training.progress import Progress, Row

CSV = 'metrics.csv'
TENSORBOARD = 'tensorboard'


class Logs:
    """metrics.csv and tensorboard/ in the folder of a run."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        """Start both anew with the rows there are; rows after a kill's last state vanish."""
        self._csv = folder / CSV
        if not progress.rows:
            self._csv.unlink(missing_ok=True)
        shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)
        self._board = SummaryWriter(str(folder / TENSORBOARD))
        for row in progress.rows:
            self._add(row)

    def update(self, progress: Progress) -> None:
        """Write all rows to the CSV and the newest to TensorBoard."""
        columns = list(dict.fromkeys(key for row in progress.rows for key in row))
        with whole_file(self._csv) as partial, partial.open('w', newline='') as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(progress.rows)
        self._add(progress.rows[-1])
        self._board.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        self._board.close()

    def _add(self, row: Row) -> None:
        for key, value in row.items():
            if key not in ('epoch', 'step'):
                self._board.add_scalar(key, value, int(row['step']))
