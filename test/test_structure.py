"""The house as it was designed: the order of rooms, who knows ROS, sizes of classes and functions.

`make lint` runs this; it reads the source and imports nothing of it.
"""

import ast
import re
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'surgseg_ros'

# A room imports only rooms above it.
ROOMS = [
    'frames',
    'geometry',
    'tracking',
    'media',
    'networks',
    'backends',
    'predictors',
    'metrics',
    'simulation',
    'rosdata',
    'bags',
    'sources',
    'streams',
    'perception',
    'datasets',
    'training',
    'processes',
    'nodes',
    'live',
    'evaluation',
    'benchmarks',
    'viewer',
    'commands',
]
ROS_ROOMS = {'nodes', 'live', 'viewer'}  # only these import rclpy
# of rclpy or of packages whose messages only rclpy can make
ROS_PACKAGES = {'rclpy', 'message_filters', 'rcl_interfaces', 'launch', 'launch_ros', 'tf2_ros'}
ALLOWED: dict[tuple[str, str], str] = {}  # (module, imported): the reason

METHODS = 15  # of a class, at most
MEDIAN, P90 = 7, 17  # logical lines of functions: statements, docstrings apart
ANY_PER_1000_LINES = 5


class Import(NamedTuple):
    """One import statement. executes: when the module itself is imported."""

    module: str
    imported: str
    executes: bool


@cache
def modules() -> dict[str, ast.Module]:
    """Syntax trees by dotted name; a package has the name of its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        name = '.'.join(parts).removesuffix('.__init__')
        found[name] = ast.parse(path.read_text(), str(path))
    return found


def imports() -> Iterator[Import]:
    """All imports of the package, those inside functions and under TYPE_CHECKING included."""
    for module, tree in modules().items():
        executed = set(_executed(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f'{module}: imports name the whole path'
                names = [_target(node.module or '', alias.name) for alias in node.names]
            else:
                continue
            for name in dict.fromkeys(names):
                yield Import(module, name, node in executed)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Statements that run on import: everything outside functions and TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        typing_only = isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)
        if not typing_only and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _executed(node)


def _target(package: str, name: str) -> str:
    """What `from package import name` imports: a module of ours, or something in one."""
    return f'{package}.{name}' if f'{package}.{name}' in modules() else package


def room(module: str) -> str:
    parts = module.split('.')
    return parts[1] if parts[0] == PACKAGE.name and len(parts) > 1 else ''


def test_every_folder_is_a_room_of_the_design() -> None:
    folders = {path.parent.name for path in PACKAGE.glob('*/*.py')}
    assert folders <= set(ROOMS)


def test_rooms_import_only_rooms_above_them() -> None:
    against = [
        f'{one.module} -> {one.imported}' + ('' if one.executes else ' (lazy)')
        for one in imports()
        if room(one.module) in ROOMS
        and room(one.imported) in ROOMS
        and ROOMS.index(room(one.imported)) > ROOMS.index(room(one.module))
        and (one.module, one.imported) not in ALLOWED
    ]
    assert not against, 'imports against the order of rooms:\n' + '\n'.join(against)


def test_exceptions_from_the_order_are_needed_and_have_a_reason() -> None:
    made = {(one.module, one.imported) for one in imports()}
    assert set(ALLOWED) <= made
    assert all(len(reason) > 20 for reason in ALLOWED.values())


def test_no_imports_go_in_a_circle_when_they_execute() -> None:
    after: dict[str, set[str]] = {name: set() for name in modules()}
    for one in imports():
        if one.executes and one.imported in after and one.imported != one.module:
            after[one.module].add(one.imported)
    while free := {name for name, needed in after.items() if not needed}:
        after = {name: needed - free for name, needed in after.items() if name not in free}
    assert not after, f'in or behind a circle: {after}'


def test_only_nodes_live_and_viewer_know_ros() -> None:
    users = [
        f'{one.module} -> {one.imported}'
        for one in imports()
        if one.imported.split('.')[0] in ROS_PACKAGES and room(one.module) not in ROS_ROOMS
    ]
    assert not users


def test_classes_have_few_methods() -> None:
    sizes = {
        f'{name}.{node.name}': sum(isinstance(part, ast.FunctionDef) for part in node.body)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    assert not {name: size for name, size in sizes.items() if size > METHODS}


def test_functions_are_short() -> None:
    lengths = sorted(
        logical_lines(node)
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert statistics.median(lengths) <= MEDIAN
    assert lengths[int(0.9 * len(lengths))] <= P90


def logical_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Statements in a function, the `def` itself included, its docstring not.

    Unlike lines of the file they do not change when a formatter breaks them.
    """
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(function))
    return statements - (ast.get_docstring(function) is not None)


def test_any_is_rare() -> None:
    text = '\n'.join(path.read_text() for path in PACKAGE.rglob('*.py'))
    uses = len(re.findall(r'\bAny\b', re.sub(r'(?m)^from typing import .*$', '', text)))
    assert 1000 * uses / text.count('\n') <= ANY_PER_1000_LINES
