"""When what was remembered of earlier images says nothing about the next. No ROS."""

from surgseg_ros.streams.pairing import StampPairer


class Scenes:
    """Looks for jumps in time: of what arrives, and of what is processed.

    Nothing is processed while nobody subscribes, though images go on arriving. What a slow
    network processes has long steps without a pause, so it has a frame period of its own.
    """

    def __init__(self) -> None:
        self._processed: StampPairer[None] = StampPairer(('image',))
        self._scene: tuple[int, int] | None = None

    def begins(self, stamp: int, arrived: int = 0) -> bool:
        """Tell of each image processed whether it is the first of a scene.

        It is if time has jumped since the last one, or there has been none. stamp: ns. arrived:
        how often time has jumped by now in what arrives (StampPairer.jumps), which counts as well.
        """
        self._processed.add('image', stamp, None)
        before, self._scene = self._scene, (arrived, self._processed.jumps)
        return self._scene != before
