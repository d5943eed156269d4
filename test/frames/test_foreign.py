"""What strangers' texts may not do."""

import json

import pytest
import yaml

from surgseg_ros.frames.foreign import MAX_PIXELS, check_pixels, parse_json, parse_yaml, printable


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('/endoscope/left/image_rect', '/endoscope/left/image_rect'),
        ('Größe 7 °, 左目', 'Größe 7 °, 左目'),
        ('/a\x1b[2J\x1b[31m', '/a\\x1b[2J\\x1b[31m'),
        ('/a\nsurgseg: all is well', '/a\\nsurgseg: all is well'),
        ('\r\x9b1A\x7f', '\\r\\x9b1A\\x7f'),
        ('scissors\u202egnp.', 'scissors\\u202egnp.'),
        ('lone \ud800', 'lone \\ud800'),
    ],
)
def test_foreign_text_moves_no_cursor(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_sizes_are_limited() -> None:
    check_pixels(8192, 8192, 'an image')
    with pytest.raises(
        ValueError, match='the image is 30000x30000, 900 million pixels: at most 67'
    ):
        check_pixels(30_000, 30_000, 'the image')
    assert MAX_PIXELS == 8192 * 8192


def aliases(levels: int) -> str:
    """Each level names the one before ten times: 10 ** levels values."""
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for level in range(1, levels):
        lines.append(f'a{level}: &a{level} [{", ".join([f"*a{level - 1}"] * 10)}]')
    return '\n'.join(lines)


@pytest.mark.parametrize('text', [aliases(9), 'a: &a [*a, *a]', 'a: &a {b: *a}'])
def test_aliases_do_not_multiply_without_end(text: str) -> None:
    with pytest.raises(ValueError, match='its aliases stand for more than 1000000 values'):
        parse_yaml(text, yaml.SafeLoader)


def test_aliases_that_are_of_use_are_read() -> None:
    assert parse_yaml('a: &k [1, 2]\nb: *k', yaml.SafeLoader) == {'a': [1, 2], 'b': [1, 2]}
    assert parse_yaml(aliases(3), yaml.SafeLoader)['a2'][0][0][0] == 'x'


@pytest.mark.parametrize('parse', [parse_json, lambda text: parse_yaml(text, yaml.SafeLoader)])
def test_endless_nesting_is_one_sentence(parse) -> None:
    with pytest.raises(ValueError, match='nested too deeply'):
        parse('[' * 100_000 + ']' * 100_000)


def test_what_is_no_json() -> None:
    assert parse_json(json.dumps({'a': [1.5]})) == {'a': [1.5]}
    with pytest.raises(ValueError, match='it is not valid JSON: .*line 1'):
        parse_json('{')
