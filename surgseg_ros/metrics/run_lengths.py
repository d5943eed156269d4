"""COCO's compressed run lengths, decoded without trust: pycocotools reads and writes past the
ends of what does not fit, or never returns.
"""

import numpy as np

_OFFSET, _VALUE, _MORE, _SIGN = 48, 0x1F, 0x20, 0x10  # of a character
_LONGEST = 8  # characters of a number; 32 bits have 7


def decode_run_lengths(text: str | bytes) -> np.ndarray:
    """Run lengths in px, int64, of background and mask by turns.

    Each number has its low bits first, five to a character with a bit that says whether more
    follow (LEB128 from character 48 upwards); from the fourth on it is the difference from the
    run length two before (cocoapi, common/maskApi.c, rleFrString). ValueError if it is no such
    text.
    """
    characters = np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8)
    codes = characters.astype(np.int64) - _OFFSET
    ends = np.flatnonzero((codes & _MORE) == 0)
    if not len(ends) or ends[-1] != len(codes) - 1 or codes.min() < 0 or codes.max() > 63:
        raise ValueError('this is no text of compressed run lengths')
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > _LONGEST:
        raise ValueError('a run length has more than 32 bits')
    starts = ends + 1 - lengths
    places = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((codes & _VALUE) << places, starts)
    numbers -= np.where(codes[ends] & _SIGN, 1 << 5 * lengths, 0)
    for first in (1, 2):  # a sum over every second one
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers


def fills(counts: np.ndarray, pixels: int) -> bool:
    """Whether run lengths (of any whole numbers) are those of so many pixels."""
    return bool((counts >= 0).all()) and int(counts.sum()) == pixels
