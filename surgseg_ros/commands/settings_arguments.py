"""Options of a command from the settings of a step, and back; see perception.settings."""

import argparse
from collections.abc import Collection, Mapping
from typing import TypeVar

from surgseg_ros.perception.settings import Setting, settings_of

S = TypeVar('S')


def add_settings_arguments(
    group: argparse._ArgumentGroup,
    kind: type,
    names: Collection[str] | None = None,
    leave_out: Collection[str] = (),
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Add an option for each setting of a dataclass, or for these `names`, except `leave_out`.

    aliases: further spellings of options, by setting. What is not given is None in the arguments.
    """
    for one in settings_of(kind):
        if (names is None or one.name in names) and one.name not in leave_out:
            _add(group, one, (aliases or {}).get(one.name))


def settings_from(args: argparse.Namespace, kind: type[S], **others: object) -> S:
    """The settings that the arguments say, else `others`, else the defaults.

    Raises ValueError in one sentence where a value is out of range.
    """
    check_settings(args, kind)
    return kind(**(others | given_settings(args, kind)))


def check_settings(args: argparse.Namespace, kind: type) -> None:
    """Raise ValueError in one sentence where a value is out of range."""
    given = given_settings(args, kind)
    for one in settings_of(kind):
        if one.name in given and (problem := one.problem(given[one.name])):
            raise ValueError(f'{_flag(one.name)} {problem}')


def given_settings(args: argparse.Namespace, kind: type) -> dict[str, object]:
    """Those of the settings that were given on the command line."""
    values = {one.name: vars(args).get(one.name) for one in settings_of(kind)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }


def _add(group: argparse._ArgumentGroup, one: Setting, alias: str | None) -> None:
    flags = [_flag(one.name), *([alias] if alias else [])]
    help = f'{one.meaning}{_default(one)}'.replace('%', '%%')
    if one.kind is bool:
        group.add_argument(*flags, action=argparse.BooleanOptionalAction, default=None, help=help)
    else:
        group.add_argument(
            *flags,
            type=one.kind,
            choices=one.choices,
            nargs='+' if one.is_list else None,
            metavar=None if one.choices else _METAVARS[one.kind],
            help=help,
        )


_METAVARS = {str: 'TEXT', int: 'N', float: 'X'}


def _flag(name: str) -> str:
    return f'--{name.replace("_", "-")}'


def _default(one: Setting) -> str:
    return f' ({one.absent if one.default is None else one.default})'
