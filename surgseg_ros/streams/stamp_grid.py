"""Which frames are taken when not all of them can be: the same in every node. No ROS."""

import math

from surgseg_ros.rosdata.messages import NANOSECONDS


class StampGrid:
    """Takes at most one frame per cell of a grid of stamps.

    If nodes drop frames independently, their outputs rarely pair; on a common grid they all
    take the same frames. Cells are centred on multiples of 1 / rate, so that frames of a camera of
    just that rate do not fall on borders.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._epoch = 0

    def takes(self, stamp: int, rate: float, epoch: int = 0) -> bool:
        """Whether to take the frame: its cell is new.

        stamp: ns. rate: Hz, 0 takes all. epoch: a change starts a new grid.
        """
        if rate == 0:
            return True
        if epoch != self._epoch:
            self._epoch, self._last = epoch, None
        if self._last is not None and _cell(stamp, rate) <= _cell(self._last, rate):
            return False
        self._last = stamp
        return True


def _cell(stamp: int, rate: float) -> int:
    return math.floor(stamp * rate / NANOSECONDS + 0.5)
