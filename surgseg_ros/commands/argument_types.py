"""What argparse shall make of an argument's text."""

import argparse
from collections.abc import Callable

from surgseg_ros.frames.sizes import parse_size


def whole_number(least: int) -> Callable[[str], int]:
    """Type of a whole number of at least `least`."""

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of at least {least}')
        return number

    return convert


def size(text: str) -> tuple[int, int]:
    """Type of a WIDTHxHEIGHT."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
