"""Frames of the virtual endoscope."""

from ast import literal_eval
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.sources.base import FIRST_STAMP, FrameSource


class SimulatorSource(FrameSource):
    """Frames of the virtual endoscope, endless unless `frames` is given.

    details: 'seed=3,frames=100,articulated=true'; parameters of VirtualEndoscope, as `options`
    are, which win.
    Raises ValueError for other parameters, ImportError or OSError where it cannot render.
    """

    name = 'virtual endoscope'

    def __init__(self, details: str = '', **options: object) -> None:
        given = _parse(details) | options
        self.count = _checked(given.pop('frames', None))
        self.endless = self.count is None
        try:
            from surgseg_ros.simulation import VirtualEndoscope  # imports MuJoCo and OpenGL

            self._endoscope = VirtualEndoscope(**given)
        except TypeError as error:
            raise ValueError(f'the simulator cannot be set up so: {error}') from error
        except RuntimeError as error:  # no OpenGL; it says what to install
            raise OSError(str(error)) from error
        self.rate = self._endoscope.rate
        self.calibration = self._endoscope.calibration

    def frames(self) -> Iterator[StereoFrame]:
        """See FrameSource."""
        index = 0
        while self.count is None or index < self.count:
            frame = self._endoscope.render(index)
            yield replace(frame, stamp=frame.stamp + FIRST_STAMP)
            index += 1

    def close(self) -> None:
        """Free the renderer."""
        self._endoscope.close()


def _checked(frames: object) -> int | None:
    if frames is not None and not (isinstance(frames, int) and frames > 0):
        raise ValueError(f'frames={frames} of the simulator is no whole number of at least 1')
    return frames


def _parse(details: str) -> dict[str, Any]:
    """'seed=3,look=classic,articulated=true' -> {'seed': 3, 'look': 'classic', ...: True}."""
    options = {}
    for item in filter(None, details.split(',')):
        name, equals, value = item.partition('=')
        try:
            options[name.strip()] = _value(value.strip())
        except (ValueError, SyntaxError) as error:
            raise ValueError(f'{item!r} is not NAME=NUMBER in sim:{details}') from error
    return options


def _value(text: str) -> Any:
    """A number, true or false, or a word."""
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    words = all(word.isidentifier() for word in text.split('+'))
    return text if words else literal_eval(text)
