"""The backends of one network, by the shapes of its input."""

from collections.abc import Mapping
from pathlib import Path

from surgseg_ros import backends
from surgseg_ros.backends.model import Backend, Model
from surgseg_ros.backends.runtime import Runtime

Shapes = Mapping[str, tuple[int, ...]]


class PreparedBackend:
    """A network whose backend is made when a shape is first asked for, and then kept.

    name, weights, options, base: as Model has them. kept: for so many shapes at a time, those
    used last; None for all.
    """

    def __init__(
        self,
        name: str,
        weights: Path,
        options: Mapping[str, object],
        runtime: Runtime,
        base: Path | None = None,
        kept: int | None = 1,
    ) -> None:
        self._name, self._weights, self._options = name, weights, options
        self._base, self._runtime, self._kept = base, runtime, kept
        self._made: dict[tuple[tuple[int, ...], ...], Backend] = {}  # the last was used last

    def __call__(self, **inputs: tuple[int, ...]) -> Backend:
        """The backend for inputs of these shapes; raises what backends.create raises."""
        key = tuple(inputs.values())
        made = self._made.pop(key) if key in self._made else self._make(inputs)
        self._made[key] = made
        if self._kept and len(self._made) > self._kept:
            del self._made[next(iter(self._made))]
        return made

    def _make(self, inputs: Shapes) -> Backend:
        model = Model(self._name, self._weights, inputs, self._options, self._base)
        return backends.create(model=model, runtime=self._runtime)
