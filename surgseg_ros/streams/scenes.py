"""When what was remembered of earlier images says nothing about the next. No ROS."""

from surgseg_ros.streams.pairing import StampPairer


class Scenes:
    """Looks for jumps in time: of what arrives, and of what is processed.

    Nothing is processed while nobody subscribes, though images go on arriving. What a slow
    network processes has long steps without a pause, so it has a frame period of its own.
    """

    def __init__(self, arriving: StampPairer) -> None:
        self._arriving, self._processed = arriving, StampPairer(('image',))
        self._scene: tuple[int, ...] | None = None

    def begins(self, stamp: int) -> bool:
        """Tell of each image processed, by its stamp in ns, whether it is the first of a scene.

        It is if time has jumped since the last one, or there has been none.
        """
        self._processed.add('image', stamp, None)
        before, self._scene = (
            self._scene,
            (self._arriving.epochs, self._arriving.gaps, self._processed.gaps),
        )
        return self._scene != before
