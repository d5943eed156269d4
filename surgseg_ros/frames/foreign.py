"""Guards against foreign files that forge terminal output or exhaust memory."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import yaml

MAX_PIXELS = 1 << 26  # of one image, 67 million: twice 8K; what says that it is larger is refused
MAX_TEXT = 16 << 20  # bytes of a YAML or JSON text
MAX_NODES = 1_000_000  # values in a YAML text, once its aliases are written out
MAX_COCO = 1 << 30  # bytes of a COCO file; that of COCO's own training images has 450 million

_UNPRINTABLE = re.compile(
    '[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]'
)


def printable(text: object) -> str:
    r"""Text with control characters, line ends and changes of direction as escapes such as \x1b.

    For names of topics, classes, files and other foreign text, which could otherwise move the
    cursor, forge lines, or fail to be encoded.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], str(text))


def say(*lines: object, to: TextIO | None = None) -> None:
    """Print these lines, on standard output unless said otherwise; each stays one line.

    Every word for the terminal goes through here, so that none from a file reaches it raw.
    """
    print(*map(printable, lines), sep='\n', file=to, flush=True)


def warn(sentence: str) -> None:
    """Say what is peculiar, in this package's log."""
    logging.getLogger('surgseg_ros').warning('%s', printable(sentence))


def printable_lines(text: str) -> str:
    """As printable(), but for a text whose line ends are our own, such as a traceback."""
    return '\n'.join(map(printable, text.split('\n')))


def read_text(path: Path, most: int = MAX_TEXT) -> str:
    """Read a UTF-8 text, with or without a byte order mark, of at most so many bytes.

    ValueError, in one sentence that names the file, if it is none; OSError if it cannot be read.
    """
    size = path.stat().st_size
    if size > most:
        raise ValueError(f'{path} has {size} bytes, at most {most} are read')
    try:
        return path.read_text('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not text: byte {error.start} is no UTF-8') from None


def check_pixels(width: int, height: int, what: str) -> None:
    """Raise ValueError where `what` says that it has more than MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise ValueError(
            f'{what} is {width}x{height}, {width * height / 1e6:.0f} million pixels: '
            f'at most {MAX_PIXELS / 1e6:.0f} million are read'
        )


def parse_yaml(text: str, loader: 'type[yaml.BaseLoader] | type[yaml.SafeLoader]') -> Any:
    """Parse a YAML text; ValueError, in one sentence, if it is invalid or aliases make it huge."""
    import yaml  # not at the top: `surgseg doctor` works without it

    _check_length(text, MAX_TEXT)
    if '&' in text:
        _check_aliases(text)
    with _one_sentence('YAML'):
        return yaml.load(text, Loader=loader)


def check_yaml(text: str) -> None:
    """Raise ValueError as parse_yaml does; for texts that other libraries parse."""
    _check_length(text, MAX_TEXT)
    _check_aliases(text)


def parse_json(text: str, most: int = MAX_TEXT) -> Any:
    """Parse a JSON text of at most so many characters.

    ValueError, in one sentence, if it is none or nested without end.
    """
    _check_length(text, most)
    with _one_sentence('JSON'):
        return json.loads(text)


@contextmanager
def _one_sentence(kind: str) -> Iterator[None]:
    """Turn what parsers raise into ValueError."""
    try:
        yield
    except RecursionError:
        raise ValueError('it is nested too deeply') from None
    except Exception as error:  # also PyYAML's, of scalars that are not what their tags say
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise ValueError(f'it is not valid {kind}: {reason}') from None


def _check_length(text: str, most: int) -> None:
    if len(text) > most:
        raise ValueError(f'it has {len(text)} characters, at most {most} are read')


def _check_aliases(text: str) -> None:
    import yaml

    with _one_sentence('YAML'):
        values = _count(yaml.compose(text, Loader=yaml.BaseLoader), {})
    if values > MAX_NODES:
        raise ValueError(f'its aliases stand for more than {MAX_NODES} values')


def _count(node: 'yaml.Node | None', known: dict[int, int]) -> int:
    """Values below a node when every alias is written out."""
    if node is None or isinstance(node.value, str):  # a scalar
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_NODES  # an alias of itself has no end
        parts = [x for pair in node.value for x in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(node)]
