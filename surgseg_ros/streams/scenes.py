"""When a new scene begins, for which results of earlier images are useless. No ROS."""

from surgseg_ros.streams.pairing import StampPairer


class Scenes:
    """Detects jumps in time, both in arriving and in processed images.

    Nothing is processed while nobody subscribes, though images go on arriving. What a slow
    network processes has long steps without a pause, so it has a frame period of its own.
    """

    def __init__(self) -> None:
        self._processed: StampPairer[None] = StampPairer(('image',))
        self._scene: tuple[int, int] | None = None

    def begins(self, stamp: int, arrived: int = 0) -> bool:
        """Whether a processed image is the first of a scene; call it for each one.

        It is if there was none before, or if time has jumped since. stamp: ns. arrived: the number
        of jumps in arriving images so far (StampPairer.jumps), which count as well.
        """
        self._processed.add('image', stamp, None)
        before, self._scene = self._scene, (arrived, self._processed.jumps)
        return self._scene != before
