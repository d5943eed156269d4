"""Parts of an instrument, and what data sets call them."""

import re
from enum import IntEnum


class Part(IntEnum):
    """Instrument parts, numbered as in msg/InstrumentInstance.msg."""

    NONE = 0
    SHAFT = 1
    WRIST = 2
    JAW = 3
    UNKNOWN = 255


# EndoVis 2017: shaft, wrist, clasper(s); 2018: instrument-shaft, -wrist, -clasper
_NAME = re.compile(r'(?:instrument[-_ ])?(shaft|wrist|clasper|jaw)s?')
_PARTS = {'shaft': Part.SHAFT, 'wrist': Part.WRIST, 'clasper': Part.JAW, 'jaw': Part.JAW}


def part_named(class_name: str) -> Part:
    """Part that a class of this name is, UNKNOWN if it is none."""
    match = _NAME.fullmatch(class_name.strip().lower())
    return _PARTS[match[1]] if match else Part.UNKNOWN
