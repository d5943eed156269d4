"""Settings as data: fields of a frozen dataclass state their meaning and allowed values."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One field of a settings dataclass.

    meaning: for users. range: (lowest, highest) of a number. choices:
    what a string may be. live: may be replaced between two frames. unset: the value of
    a ROS parameter, which always has one type, that stands for None; a number below `range` means
    None too. absent: what None means, for users.
    """

    name: str
    default: Any
    meaning: str
    range: tuple[float, float] | None = None
    choices: tuple[str, ...] | None = None
    live: bool = False
    unset: Any = None
    absent: str = ''

    @property
    def parameter_default(self) -> Any:
        """The default as ROS spells it: None as `unset`, a tuple as a list."""
        return self.to_parameter(self.default)

    @property
    def kind(self) -> type:
        """Type of the value, or of each item of a list."""
        example = self.parameter_default
        return type(example[0] if isinstance(example, list) else example)

    @property
    def is_list(self) -> bool:
        """Whether the value is a tuple."""
        return isinstance(self.parameter_default, list)

    def to_parameter(self, value: object) -> Any:
        """Value of this setting as ROS spells it."""
        value = self.unset if value is None else value
        return list(value) if isinstance(value, tuple | list) else value

    def from_parameter(self, value: Any) -> Any:
        """Value of this setting from ROS's spelling of it."""
        if self.unset is not None and self._means_none(value):
            return None
        return tuple(value) if self.is_list else value

    def _means_none(self, value: Any) -> bool:
        if self.is_list:
            return self.unset[0] in value
        below = self.range is not None and value < self.range[0]
        return bool(value == self.unset or below)

    def problem(self, value: Any) -> str | None:
        """Say in a few words what is wrong with a value, 'is 2, expected 0 to 1', or None."""
        if value is None:
            return None if self.unset is not None else 'is missing'
        for item in value if self.is_list else [value]:
            if self.range and not self.range[0] <= item <= self.range[1]:
                return f'is {item:g}, expected {self.range[0]:g} to {self.range[1]:g}'
            if self.choices and item not in self.choices:
                return f'is "{item}", expected one of {", ".join(self.choices)}'
        return None


def setting(
    default: object,
    meaning: str,
    *,
    range: tuple[float, float] | None = None,
    choices: tuple[str, ...] | None = None,
    live: bool = False,
    unset: object = None,
    absent: str = '',
) -> Any:
    """Declare a field of a settings dataclass; see Setting."""
    details = {
        'meaning': meaning,
        'range': range,
        'choices': choices,
        'live': live,
        'unset': unset,
        'absent': absent,
    }
    return field(default=default, metadata={'setting': details})


def settings_of(kind: type) -> tuple[Setting, ...]:
    """The settings that a dataclass declares, in their order."""
    return tuple(_setting(one) for one in fields(kind))


def check(settings: object) -> None:
    """Raise ValueError in one sentence if a value is not allowed."""
    for one in settings_of(type(settings)):
        if problem := one.problem(vars(settings)[one.name]):
            raise ValueError(f'{one.name} {problem}')


def _setting(one: 'Field[Any]') -> Setting:
    details: Mapping[str, Any] = one.metadata['setting']
    assert one.default is not MISSING
    return Setting(one.name, one.default, **details)
