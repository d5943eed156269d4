"""What strangers' texts may not do."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import surgseg_ros
from surgseg_ros.frames.foreign import (
    MAX_PIXELS,
    check_pixels,
    parse_json,
    parse_yaml,
    printable,
    read_text,
    say,
    warn,
)

PACKAGE = Path(surgseg_ros.__file__).resolve().parent


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


@pytest.mark.parametrize('text', ['!!int ""', '!!timestamp x', '? [a]\n: b', '\x00', '!!float x'])
def test_what_is_no_yaml_is_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match='it is not valid YAML: ') as error:
        parse_yaml(text, yaml.SafeLoader)
    assert len(str(error.value).splitlines()) == 1


def test_texts_are_of_utf_8_and_of_a_size(tmp_path: Path) -> None:
    (tmp_path / 'a').write_bytes('\ufeffé'.encode())
    assert read_text(tmp_path / 'a') == 'é'
    (tmp_path / 'a').write_bytes(b'ok \xff')
    with pytest.raises(ValueError, match='a is not text: byte 3 is no UTF-8'):
        read_text(tmp_path / 'a')
    with pytest.raises(ValueError, match='a has 4 bytes, at most 3 are read'):
        read_text(tmp_path / 'a', most=3)


def test_what_is_said_stays_in_its_line(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    say('a\nforged', 'b\x1b[2J')
    assert capsys.readouterr().out == 'a\\nforged\nb\\x1b[2J\n'
    warn('100 %s\rforged')
    assert caplog.messages == ['100 %s\\rforged']


# Everything goes through here: no module prints or parses by itself.

# tables for the documentation, and answers to the process that has started them
OWN_WORDS = ('nodes/describe.py', 'live/exchange.py', 'benchmarks/bench_network.py')
OWN_WORDS += ('evaluation/ibr.py', 'evaluation/fit_uncertainty.py')
# what reads nothing of strangers: our own children, pipelines of the package, a command's words
OWN_TEXTS = ('live/exchange.py', 'benchmarks/', 'commands/doctor.py', 'datasets/rendering.py')
OWN_TEXTS += ('backends/export_onnx.py', 'processes/pipelines.py', 'commands/dataset_arguments.py')
OWN_TEXTS += ('training/checkpoints.py', 'training/surgicalsam/feature_cache.py')
OWN_TEXTS += ('simulation/lens.py', 'evaluation/evaluators/worst_frames.py')
# where the one reader of each kind is
READERS = ('frames/foreign.py', 'media/image_files.py')
READERS += ('networks/torch_files.py', 'networks/file_kinds.py')  # in a process of its own; caught
PARSERS = {'json': ('load', 'loads'), 'yaml': ('load', 'safe_load'), 'np': ('load',)}
PARSERS |= {'cv2': ('imread', 'imdecode', 'FileStorage'), 'torch': ('load',)}


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(PACKAGE.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path.relative_to(PACKAGE).as_posix(), node


def test_only_say_prints() -> None:
    found = [
        f'{where}:{call.lineno}'
        for where, call in calls()
        if isinstance(call.func, ast.Name) and call.func.id == 'print'
    ]
    assert not [one for one in found if not one.startswith(('frames/foreign.py', *OWN_WORDS))]


def test_nodes_log_printable_words() -> None:
    levels = ('debug', 'info', 'warning', 'error', 'fatal')
    found = [
        f'{where}:{call.lineno}'
        for where, call in calls()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in levels
        and where.startswith('nodes/')
        and not (
            isinstance(call.args[0], ast.Call)
            and isinstance(call.args[0].func, ast.Name)
            and call.args[0].func.id in ('printable', 'printable_lines')
        )
    ]
    assert not found


def test_foreign_texts_and_images_have_one_reader() -> None:
    found = [
        f'{where}:{call.lineno}'
        for where, call in calls()
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.attr in PARSERS.get(call.func.value.id, ())
    ]
    assert not [one for one in found if not one.startswith((*READERS, *OWN_TEXTS))]


def test_opencv_opens_no_video() -> None:
    """Its wheel brings an old OpenSSL, which nothing else reaches (SECURITY.md)."""
    found = [
        f'{where}:{call.lineno}'
        for where, call in calls()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ('VideoCapture', 'VideoWriter')
    ]
    assert not found
