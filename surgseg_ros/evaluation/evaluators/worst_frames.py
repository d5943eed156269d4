"""The worst, the median and the best frame as one picture, of a thousand as of three."""

from collections.abc import Callable

import cv2
import numpy as np

WIDTH = 480  # px of one of two images beside each other


class WorstFrames:
    """Keeps a row of images per frame, compressed, with the score that orders them.

    wanted: False keeps nothing.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._rows: list[tuple[float, np.ndarray]] = []

    def add(self, score: float, draw: Callable[[], np.ndarray]) -> None:
        """Take a frame: NaN sorts as the best. draw: makes its HxWx3 uint8 RGB row."""
        if self._wanted:
            row = cv2.cvtColor(draw(), cv2.COLOR_RGB2BGR)
            score = float('inf') if np.isnan(score) else score
            self._rows.append((score, cv2.imencode('.jpg', row)[1]))

    def pictures(self) -> dict[str, np.ndarray]:
        """'frames': the worst above the median above the best; nothing if nothing was kept."""
        if not self._rows:
            return {}
        order = np.argsort([score for score, _ in self._rows], kind='stable')
        chosen = dict.fromkeys([order[0], order[len(order) // 2], order[-1]])
        rows = [_decoded(self._rows[index][1]) for index in chosen]
        height = rows[0].shape[0]
        return {'frames': np.vstack([cv2.resize(row, (2 * WIDTH, height)) for row in rows])}


def small(image: np.ndarray, nearest: bool = False) -> np.ndarray:
    """An image or labels at the width of half a row."""
    size = (WIDTH, round(image.shape[0] * WIDTH / image.shape[1]))
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_AREA)


def _decoded(data: np.ndarray) -> np.ndarray:
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None  # it is our own JPEG
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
