"""Parameters of a node from the settings of its step, and back; see perception.settings."""

from typing import TypeVar

from surgseg_ros.nodes.parameters import Parameter, Parameters
from surgseg_ros.perception.settings import Setting, settings_of

S = TypeVar('S')


def parameters_of(kind: type) -> tuple[Parameter, ...]:
    """One parameter for each setting of a dataclass."""
    return tuple(_parameter(one) for one in settings_of(kind))


def settings_from(kind: type[S], p: Parameters) -> S:
    """The settings that the parameters say now."""
    values = p.values()
    return kind(**{one.name: one.from_parameter(values[one.name]) for one in settings_of(kind)})


def _parameter(one: Setting) -> Parameter:
    return Parameter(
        one.name,
        one.parameter_default,
        _description(one),
        range=_range(one),
        choices=one.choices,
        live=one.live,
    )


def _description(one: Setting) -> str:
    """Meaning, and how to ask for what None means."""
    if one.unset is None:
        return one.meaning
    value = one.unset[0] if one.is_list else one.unset
    spelling = 'empty' if value == '' else 'below 0' if value == -1 else value
    return f'{one.meaning}; {spelling}: {one.absent}'


def _range(one: Setting) -> tuple[float, float] | None:
    """With the value that means None; a list has no range in ROS."""
    if one.range is None or one.is_list:
        return None
    low, high = one.range
    return (low, high) if one.unset is None else (min(low, one.unset), high)
