"""Message types without a ROS installation: rosbags' Jazzy types, and .msg files for the rest."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat, Nodetype
from rosbags.interfaces.typing import Fielddefs, Typesdict
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from surgseg_ros.frames.foreign import printable
from surgseg_ros.rosdata.factory import Message

_MAX_ARRAY = 1 << 24  # numbers of a fixed array
_MAX_PARTS = 10_000  # texts and messages that a message has in fixed arrays, nested ones included
_MAX_DEPTH = 50  # of messages in messages
_CHECKOUT = Path(__file__).resolve().parents[2]


class UnknownType(ValueError):
    """A message type of which no definition can be found."""


def full_name(type_name: str) -> str:
    """package/Name, as old bags have it, -> package/msg/Name."""
    package, _, name = type_name.partition('/')
    return type_name if '/' in name else f'{package}/msg/{name}'


@cache
def known_types() -> Typestore:
    """rosbags' types of ROS 2 Jazzy; find_type adds to them."""
    return get_typestore(Stores.ROS2_JAZZY)


def types_of_definition(type_name: str, definition: MessageDefinition) -> Typestore:
    """Type store of a type as the bag itself defines it, and of all it contains.

    Raises UnknownType where there is no definition, or none that can be used.
    """
    store = get_typestore(Stores.EMPTY)
    try:
        found = _parsed(type_name, definition)
        _check_arrays(found)
        store.register(found)
        store.hash_rihs01(type_name)  # fails where a part is not defined
    except UnknownType:
        raise
    except Exception as error:  # whatever a broken text makes the parser raise
        reason = ' '.join(str(error).split())[:200]
        raise UnknownType(
            f'the definition of message type {printable(type_name)} is broken: {printable(reason)}'
        ) from error
    return store


def _parsed(type_name: str, definition: MessageDefinition) -> Typesdict:
    if definition.format == MessageDefinitionFormat.NONE or not definition.data.strip():
        raise UnknownType(f'no definition of message type {printable(type_name)} in the bag')
    if definition.format == MessageDefinitionFormat.MSG:
        return get_types_from_msg(definition.data, type_name)
    separator = '=' * 80 + '\n'
    texts = definition.data.split(separator)
    if texts[0].strip():
        return get_types_from_idl(definition.data)
    found: Typesdict = {}
    for text in filter(None, texts):  # each begins with the line 'IDL: package/msg/Name'
        found |= get_types_from_idl(text.partition('\n')[2])
    return found


def _check_arrays(definitions: Typesdict) -> None:
    """Refuse fixed arrays that no message has, and sequences of nothing.

    They cost time and memory for no bytes: rosbags writes a line of code for each text or message
    of a fixed array, and a sequence of empty messages may have 2 ** 32 of them.
    """
    for name, (_, fields) in definitions.items():
        for field, (kind, detail) in fields:
            if kind == Nodetype.ARRAY and int(detail[1]) > _MAX_ARRAY:
                raise UnknownType(
                    f'{printable(name)} has an array {printable(field)} of {detail[1]} elements'
                )
            part = _element(kind, detail).message
            if kind == Nodetype.SEQUENCE and part in definitions and not definitions[part][1]:
                raise UnknownType(
                    f'{printable(name)} has a sequence {printable(field)} of empty messages'
                )
        if _parts(name, definitions, ()) > _MAX_PARTS:
            raise UnknownType(
                f'{printable(name)} has more than {_MAX_PARTS} texts and messages in fixed arrays'
            )


def _parts(name: str, definitions: Typesdict, above: tuple[str, ...]) -> int:
    """How many texts and messages a message of this type has, fixed arrays written out."""
    if name in above or len(above) > _MAX_DEPTH:
        raise UnknownType(f'{printable(name)} contains itself, or is nested too deeply')
    total = 1
    for _, (kind, detail) in definitions[name][1] if name in definitions else ():
        element = _element(kind, detail)
        if element.message:
            total += element.length * _parts(element.message, definitions, (*above, name))
        elif element.is_text:
            total += element.length
        if total > _MAX_PARTS:
            break
    return total


class _Element(NamedTuple):
    """What a field holds: messages of a type (else empty) or texts; how many in a fixed array."""

    message: str
    is_text: bool
    length: int


def _element(kind: Nodetype, detail: Any) -> _Element:
    length = int(detail[1]) if kind == Nodetype.ARRAY else 1
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        kind, detail = detail[0]
    is_message = kind == Nodetype.NAME
    return _Element(str(detail) if is_message else '', detail[0] == 'string', length)


def find_type(type_name: str) -> Typestore:
    """Type store that knows this type and all it contains.

    Types that rosbags lacks (ours, vision_msgs, anybody's) are read from the .msg files of the
    installed packages, or of this checkout. Raises UnknownType with the places searched.
    """
    store = known_types()
    missing = [type_name]
    definitions: Typesdict = {}
    while missing:
        name = missing.pop()
        if name not in store.fielddefs and name not in definitions:
            found = get_types_from_msg(_definition(name), name)
            definitions |= found
            missing += [part for _, fields in found.values() for _, part in _named(fields)]
    if definitions:
        store.register(definitions)
    return store


def _named(fields: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Field and type name of each field that is a message or a sequence of messages."""
    for field, (kind, detail) in fields:
        element, name = (
            detail[0] if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE) else (kind, detail)
        )
        if element == Nodetype.NAME:
            yield field, name


def _definition(type_name: str) -> str:
    package, _, name = type_name.partition('/msg/')
    folders = _message_folders(package)
    for folder in folders:
        path = folder / f'{name}.msg'
        if path.is_file():
            return path.read_text()
    places = ', '.join(map(str, folders))
    raise UnknownType(f'no definition of message type {printable(type_name)} in {places}')


def _message_folders(package: str) -> list[Path]:
    """Where the .msg files of a package may lie, the sourced workspace first."""
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    shares = [prefix / 'share' / package / 'msg' for prefix in (*prefixes, Path(sys.prefix))]
    own = _CHECKOUT if package == 'surgseg_ros' else _CHECKOUT / 'pip_underlay' / package
    return [*shares, own / 'msg']


def make_message(type_name: str, /, **fields: object) -> Message:
    """MessageFactory over rosbags' classes; fields not given are zero, empty or false.

    Raises UnknownType as find_type does, TypeError for a field that the type does not have.
    """
    store = find_type(type_name)
    blanks = _blanks(type_name)
    unknown = fields.keys() - blanks.keys()
    if unknown:
        raise TypeError(f'{type_name} has no field {", ".join(sorted(unknown))}')
    values = {
        name: _as_array(fields[name], dtype) if name in fields else blank()
        for name, (dtype, blank) in blanks.items()
    }
    kind: Any = store.types[type_name]
    return cast(Message, kind(**values))


def _as_array(value: object, dtype: str | None) -> object:
    """Numeric sequences as the arrays that rosbags wants; everything else as it is."""
    if dtype is None:
        return value
    return np.frombuffer(value, dtype) if isinstance(value, bytes) else np.asarray(value, dtype)


@cache
def _blanks(type_name: str) -> dict[str, tuple[str | None, Callable[[], object]]]:
    """dtype (of a numeric sequence) and maker of the zero value, for every field of a type."""
    return {field: _blank(kind, detail) for field, (kind, detail) in _fields(type_name)}


def _fields(type_name: str) -> Fielddefs:
    return find_type(type_name).fielddefs[type_name][1]


def _blank(kind: Nodetype, detail: Any) -> tuple[str | None, Callable[[], object]]:
    if kind == Nodetype.NAME:
        return None, lambda: make_message(detail)
    if kind == Nodetype.BASE:
        zero = '' if detail[0] == 'string' else False if detail[0] == 'bool' else 0
        return None, lambda: zero
    (element, inner), length = detail
    length = length if kind == Nodetype.ARRAY else 0  # a sequence's number is only its bound
    if element == Nodetype.BASE and inner[0] != 'string':
        dtype = {'byte': 'uint8', 'char': 'uint8'}.get(inner[0], inner[0])
        return dtype, lambda: np.zeros(length, dtype)
    _, zero_of_one = _blank(element, inner)
    return None, lambda: [zero_of_one() for _ in range(length)]
