"""Parameters of a node as data: typed, described, ranged; live or read at configuration.

One list per node declares them, checks every change and makes the table in docs/topics.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter


@dataclass(frozen=True)
class Parameter:
    """One parameter; its type is that of `default`.

    range: (lowest, highest) of a number. choices: what a string, or each string of a list, may be.
    live: a change takes effect at once; otherwise the value is read when the node is configured.
    fixed: can only be given at the start, not changed over the network.
    """

    name: str
    default: object
    description: str
    range: tuple[float, float] | None = None
    choices: tuple[str, ...] | None = None
    live: bool = False
    fixed: bool = False

    def problem(self, value: Any) -> str | None:
        """Say in one sentence what is wrong with `value`, or None."""
        if self.range and not self.range[0] <= value <= self.range[1]:
            return f'{self.name} is {value}, expected {self.range[0]} to {self.range[1]}'
        given = [value] if isinstance(value, str) else value if self.choices else []
        wrong = [item for item in given if self.choices and item not in self.choices]
        if wrong:
            return f'{self.name} has "{wrong[0]}", expected one of {", ".join(self.choices or ())}'
        return None

    def descriptor(self) -> ParameterDescriptor:
        """Make what `ros2 param describe` shows."""
        descriptor = ParameterDescriptor(
            description=self.description,
            additional_constraints=f'one of {", ".join(self.choices)}' if self.choices else '',
        )
        if self.range and isinstance(self.default, float):
            low, high = map(float, self.range)
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif self.range:
            low_int, high_int = map(int, self.range)
            descriptor.integer_range = [IntegerRange(from_value=low_int, to_value=high_int)]
        return descriptor


class Parameters:
    """The declared parameters of one node; values are attributes, always up to date.

    is_running: tells whether the node is configured, so that only live ones may change.
    Raises ValueError with one sentence if a value given at start is unusable.
    """

    def __init__(
        self, node: Node, declared: Sequence[Parameter], is_running: Callable[[], bool]
    ) -> None:
        self._declared = {parameter.name: parameter for parameter in declared}
        self._is_running = is_running
        self._values: dict[str, object] = {}
        for parameter in declared:
            self._values[parameter.name] = self._declare(node, parameter)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f'no parameter {name}') from None

    def values(self) -> Mapping[str, object]:
        """All values by name, as they are now."""
        return self._values

    def _declare(self, node: Node, parameter: Parameter) -> object:
        expected = type(parameter.default).__name__
        try:
            value = node.declare_parameter(
                parameter.name, parameter.default, parameter.descriptor()
            ).value
        except InvalidParameterTypeException as error:
            raise ValueError(f'parameter {parameter.name} must be {expected}: {error}') from error
        except InvalidParameterValueException as error:
            raise ValueError(f'parameter {error}') from error
        if problem := parameter.problem(value):
            raise ValueError(f'parameter {problem}')
        return value

    def _check(self, changes: Sequence[RosParameter]) -> SetParametersResult:
        for change in changes:
            parameter = self._declared.get(change.name)
            if parameter is None:
                continue
            problem = parameter.problem(change.value)
            if parameter.fixed:
                problem = f'{change.name} is given when the node is started and stays as it is'
            elif not problem and not parameter.live and self._is_running():
                problem = (
                    f'{change.name} is read when the node is configured: deactivate and '
                    'clean up the node, set it, then configure again'
                )
            if problem:
                return SetParametersResult(successful=False, reason=problem)
        return SetParametersResult(successful=True)

    def _take(self, changes: Sequence[RosParameter]) -> None:
        for change in changes:
            if change.name in self._declared:
                self._values[change.name] = change.value


def is_set(node: Node, change: RosParameter) -> bool:
    """Whether a parameter has this value already, so that setting it changes nothing."""
    if not node.has_parameter(change.name):
        return False
    present = node.get_parameter(change.name).value
    if isinstance(present, str | bytes | float | bool | int | None):
        return type(present) is type(change.value) and present == change.value
    return list(present) == list(change.value or ())
