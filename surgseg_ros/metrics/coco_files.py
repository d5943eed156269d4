"""COCO's JSON files."""

from pathlib import Path
from typing import Any

from surgseg_ros.frames.foreign import MAX_COCO, parse_json, read_text


def read_json(path: Path) -> Any:
    """What a JSON file holds, with or without a byte order mark.

    Raises FileNotFoundError, or ValueError with one sentence.
    """
    if not path.is_file():
        raise FileNotFoundError(f'there is no file {path}')
    text = read_text(path, MAX_COCO)
    try:
        return parse_json(text, MAX_COCO)
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
