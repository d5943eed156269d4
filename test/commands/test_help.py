"""`surgseg --version`, and the help of every command and of what is below it."""

import argparse
import shlex
from collections.abc import Iterator

import pytest

from surgseg_ros import __version__
from surgseg_ros.cli import COMMANDS, main, parser_of
from surgseg_ros.commands.help import EXAMPLES

LINES = EXAMPLES.splitlines()


def parsers_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """What one may ask for help: this parser, and those of the words that may follow."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers_of(below)


@pytest.fixture(scope='module')
def parsers() -> list[argparse.ArgumentParser]:
    return list(parsers_of(parser_of(list(COMMANDS))))[1:]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(['--version'])
    assert end.value.code == 0
    assert capsys.readouterr().out == f'surgseg {__version__}\n'


def test_every_help_ends_with_examples_of_its_own_command(
    parsers: list[argparse.ArgumentParser],
) -> None:
    assert len(parsers) > len(COMMANDS)
    for parser in parsers:
        _, _, shown = parser.format_help().partition('\nexamples:\n')
        lines = [line.strip() for line in shown.splitlines()]
        assert lines, f'{parser.prog} --help has no example'
        assert lines == [line for line in LINES if f'{line} '.startswith(f'{parser.prog} ')]


@pytest.mark.parametrize('line', LINES)
def test_examples_are_what_the_commands_take(line: str) -> None:
    words = shlex.split(line)[1:]
    assert parser_of(words[:1]).parse_args(words).command == words[0]


def test_everything_that_can_be_given_is_explained(parsers: list[argparse.ArgumentParser]) -> None:
    bare = [
        f'{parser.prog} {action.dest}'
        for parser in parsers
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert not bare


def test_every_default_is_stated(parsers: list[argparse.ArgumentParser]) -> None:
    for parser in parsers:
        text = ' '.join(parser.format_help().split())
        for action in parser._actions:
            default, wanted = action.default, action.option_strings
            silent = default is False or default in ('', argparse.SUPPRESS)
            if wanted and isinstance(default, int | float | str) and not silent:
                assert str(default) in text, f'{parser.prog} {wanted}'


def test_lists_that_are_defaults_are_stated(parsers: list[argparse.ArgumentParser]) -> None:
    check = next(parser for parser in parsers if parser.prog == 'surgseg datasets check')
    assert '(train val)' in check.format_help()
