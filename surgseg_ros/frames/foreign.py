"""What files of strangers may not do: forge lines on the terminal, or ask for endless memory."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

MAX_PIXELS = 1 << 26  # of one image, 67 million: twice 8K; what says that it is larger is refused
MAX_TEXT = 16 << 20  # bytes of a YAML or JSON text
MAX_NODES = 1_000_000  # values in a YAML text, once its aliases are written out

_UNPRINTABLE = re.compile(
    '[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]'
)


def printable(text: object) -> str:
    r"""Text with control characters, line ends and changes of direction as escapes such as \x1b.

    For names of topics, classes and files, and all else that others have chosen: raw, they could
    move the cursor, forge lines, or fail to be encoded.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], str(text))


def check_pixels(width: int, height: int, what: str) -> None:
    """Raise ValueError where `what` says that it has more than MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise ValueError(
            f'{what} is {width}x{height}, {width * height / 1e6:.0f} million pixels: '
            f'at most {MAX_PIXELS / 1e6:.0f} million are read'
        )


def parse_yaml(text: str, loader: 'type[yaml.BaseLoader] | type[yaml.SafeLoader]') -> Any:
    """Parse a YAML text; ValueError, in one sentence, if it is none or aliases make it huge."""
    import yaml  # not at the top: `surgseg doctor` works without it

    try:
        if len(text) > MAX_TEXT:
            raise ValueError(f'it has {len(text)} characters, at most {MAX_TEXT} are read')
        if '&' in text and _count(yaml.compose(text, Loader=yaml.BaseLoader), {}) > MAX_NODES:
            raise ValueError(f'its aliases stand for more than {MAX_NODES} values')
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError('it is not valid YAML: ' + ' '.join(str(error).split())) from None
    except RecursionError:
        raise ValueError('it is nested too deeply') from None


def parse_json(text: str) -> Any:
    """Parse a JSON text; ValueError, in one sentence, if it is none or nested without end."""
    try:
        if len(text) > MAX_TEXT:
            raise ValueError(f'it has {len(text)} characters, at most {MAX_TEXT} are read')
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'it is not valid JSON: {error}') from None
    except RecursionError:
        raise ValueError('it is nested too deeply') from None


def _count(node: 'yaml.Node | None', known: dict[int, int]) -> int:
    """Values below a node when every alias is written out."""
    if node is None or isinstance(node.value, str):  # a scalar
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_NODES  # an alias of itself has no end
        parts = [x for pair in node.value for x in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(node)]
