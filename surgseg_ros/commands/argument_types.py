"""What argparse shall make of an argument's text."""

import argparse
from collections.abc import Callable


def whole_number(least: int) -> Callable[[str], int]:
    """Type of a whole number of at least `least`."""
    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(
                f'{text!r} is not a whole number of at least {least}')
        return number

    return convert
