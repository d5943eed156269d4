"""Sizes of images as people write them."""

import re


def parse_size(text: str) -> tuple[int, int]:
    """'640x512' -> (width, height) = (640, 512), px; ValueError if the text is no such size."""
    match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
    if not match:
        raise ValueError(f'{text!r} is not WIDTHxHEIGHT such as 640x512')
    return int(match[1]), int(match[2])
