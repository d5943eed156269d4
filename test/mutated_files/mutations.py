"""Mutated copies of files, drawn by Hypothesis: the same for the same version of it."""

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Edit = tuple[str, int, int, bytes]

# Numbers that are at the edge of what fits, and words that mean something to some reader.
_NUMBERS = [n.to_bytes(size, order) for size in (1, 2, 4, 8) for order in ('little', 'big')
            for n in (0, 1, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1)
            ]  # fmt: skip
_WORDS = [
    *(b'-1', b'0', b'1e999', b'-1e999', b'NaN', b'Infinity', b'4294967296', b'9' * 5000, b'0.5'),
    *(b'null', b'true', b'""', b'[]', b'{}', b'[[', b'{"a":', b'[' * 5000, b'"\\ud800"'),
    *(b'&a ', b'*a', b'!!python/object/apply:os.getpid []', b'!!int ""', b'? ', b'- ', b': '),
    *(
        b'../',
        b'/tmp/x',
        b'\x1b[2J',
        b'\r\n',
        b'\xff\xfe',
        b'\xef\xbb\xbf',
        b',',
        b'"',
        b"'",
        b'\\',
    ),
    *(b'uint8[4294967295] a\n', b'string[9999999] a\n', b'PK\x03\x04', b'\x00' * 64),
]
_EDITS = ('flip', 'number', 'word', 'insert', 'remove', 'repeat', 'cut', 'digits')


def edits() -> SearchStrategy[list[Edit]]:
    """One to four edits: what, where (in 2 ** -16 of the file), how much, and with which bytes."""
    where = st.one_of(st.integers(0, 1 << 16), st.integers(0, 64), st.integers(65472, 65535))
    how_much = st.one_of(st.integers(1, 64), st.integers(1, 1 << 16))
    words = st.one_of(st.sampled_from(_NUMBERS), st.sampled_from(_WORDS), st.binary(max_size=12))
    one = st.tuples(st.sampled_from(_EDITS), where, how_much, words)
    return st.lists(one, min_size=1, max_size=4)


def mutated(content: bytes, changes: Sequence[Edit]) -> bytes:
    """A copy with these edits."""
    made = bytearray(content)
    for kind, where, how_much, word in changes:
        at = where if where <= 64 else where * len(made) >> 16
        _EDITORS[kind](made, min(at, len(made)), how_much, word)
    return bytes(made)


def _flip(made: bytearray, at: int, how_much: int, word: bytes) -> None:
    if at < len(made):
        made[at] ^= 1 << how_much % 8


def _over(made: bytearray, at: int, how_much: int, word: bytes) -> None:
    made[at : at + len(word)] = word


def _insert(made: bytearray, at: int, how_much: int, word: bytes) -> None:
    made[at:at] = word


def _remove(made: bytearray, at: int, how_much: int, word: bytes) -> None:
    del made[at : at + how_much]


def _repeat(made: bytearray, at: int, how_much: int, word: bytes) -> None:
    made[at:at] = made[at : at + how_much]


def _cut(made: bytearray, at: int, how_much: int, word: bytes) -> None:
    del made[at:]


def _digits(made: bytearray, at: int, how_much: int, word: bytes) -> None:
    """Put the word in the place of the next number of a text."""
    start = next((i for i in range(at, min(at + 400, len(made))) if 48 <= made[i] < 58), None)
    if start is not None:
        end = next((i for i in range(start, len(made)) if not 46 <= made[i] < 58), len(made))
        made[start:end] = word


_EDITORS = {
    'flip': _flip,
    'number': _over,
    'word': _over,
    'insert': _insert,
    'remove': _remove,
    'repeat': _repeat,
    'cut': _cut,
    'digits': _digits,
}
