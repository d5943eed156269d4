"""What all steps have: settings, some of which may be replaced, and scenes."""

from typing import Generic, TypeVar

from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.perception.settings import settings_of
from surgseg_ros.streams.scenes import Scenes

S = TypeVar('S')


class Step(Generic[S]):
    """The base of every step; see the package's docstring for how to write one.

    class_names: by class id, of steps whose results have class ids.
    """

    class_names: tuple[str, ...] = ()

    def __init__(self, settings: S) -> None:
        self._settings = settings
        self._scenes = Scenes()

    @property
    def settings(self) -> S:
        """The current settings. Assign new ones between two frames to change live settings.

        Raises ValueError where another setting differs: it is read when the step is made.
        """
        return self._settings

    @settings.setter
    def settings(self, settings: S) -> None:
        old, new = vars(self._settings), vars(settings)
        for one in settings_of(type(settings)):
            if not one.live and old[one.name] != new[one.name]:
                raise ValueError(f'{one.name} cannot change: it is read when the step is made')
        self._settings = settings

    def prepare(self, height: int, width: int) -> None:
        """Make ready for images of this size, so that the first does not wait; may do nothing."""

    def observe(self, frame: LeftFrame) -> None:
        """Call this first with every frame: forgets earlier scenes when a new one begins."""
        if self._scenes.begins(frame.stamp, frame.jumps):
            self.forget()

    def forget(self) -> None:
        """Drop what was learned from earlier frames; for steps that learn something."""

    def reset(self) -> None:
        """Forget everything; the next frame is unrelated to earlier ones."""
        self._scenes = Scenes()
        self.forget()
