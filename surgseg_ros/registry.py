"""What is known by a name, and imported only when somebody asks for it."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any


class Registry(Mapping[str, str]):
    """Names, and where what they mean lies: 'module:attribute'.

    what: what a name stands for, in messages: 'network', 'dataset' ...
    """

    def __init__(self, what: str, places: Mapping[str, str]) -> None:
        self._what, self._places = what, dict(places)

    def __getitem__(self, name: str) -> str:
        """Where it lies; ValueError with the known names if there is no such thing."""
        self.check(name)
        return self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def check(self, name: object) -> None:
        """Raise ValueError, with the nearest name and all that are known, for an unknown one."""
        if name in self._places:
            return
        near = get_close_matches(str(name), self._places, n=1)
        hint = f' (did you mean {near[0]}?)' if near else ''
        raise ValueError(
            f'no {self._what} is called {name!r}; known: {", ".join(sorted(self._places))}{hint}'
        )

    def load(self, name: str) -> Any:
        """Import it; ValueError as `check`."""
        return load(self[name])


def load(place: str) -> Any:
    """Import what lies at 'module:attribute'."""
    module, _, attribute = place.partition(':')
    return getattr(import_module(module), attribute)
