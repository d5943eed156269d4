"""COCO's JSON files."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """What a JSON file holds, with or without a byte order mark.

    Raises FileNotFoundError, or ValueError with one sentence.
    """
    if not path.is_file():
        raise FileNotFoundError(f'there is no file {path}')
    try:
        return json.loads(path.read_text('utf-8-sig'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
