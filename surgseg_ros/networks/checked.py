"""What users write in files, as frozen dataclasses: checked by pydantic, told in one sentence.

Sections are dataclasses of the standard library that inherit Section. pydantic is imported when
something is checked, not with this module: a node without network weights runs without it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, TypeVar

Schema = Mapping[str, Any]  # of JSON Schema

_WORDS = {
    'integer': 'a whole number',
    'number': 'a number',
    'string': 'a text',
    'boolean': 'true or false',
    'null': 'null',
    'object': 'a section with keys',
}


class Section:
    """A dataclass that knows all its keys; an int passes as a float, nothing else is converted.

    The same holds for the dataclasses that are its fields.
    """

    __pydantic_config__: ClassVar[Any] = {'extra': 'forbid', 'strict': True}


T = TypeVar('T', bound=Section)


@dataclass(frozen=True)
class AtLeast:
    """The smallest value that a number may have."""

    value: int

    def __get_pydantic_core_schema__(self, kind: object, make: Callable[[Any], Any]) -> Any:
        """As pydantic asks for it."""
        return {**make(kind), 'ge': self.value}


Count = Annotated[int, AtLeast(1)]
Natural = Annotated[int, AtLeast(0)]
NotNegative = Annotated[float, AtLeast(0)]


def parse(kind: type[T], content: object, place: str = '', what: str = 'a recipe') -> T:
    """Make the dataclass `kind`, a Section, of nested mappings.

    place: where they stand, `what`: what they are, both for errors. Raises ValueError with one
    sentence that names the key, what was expected and the nearest known key.
    """
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(kind)
    try:
        # through JSON, in which lists stand for tuples; whatever else YAML has is a text there
        return adapter.validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        found = error.errors(include_url=False)
    unknown = [one for one in found if one['type'] == 'unexpected_keyword_argument']
    sentence = _sentence(adapter.json_schema(), (unknown or found)[0], place, what)
    raise ValueError(sentence)


def _sentence(schema: Schema, error: Mapping[str, Any], place: str, what: str) -> str:
    """What is wrong, with the key, and what was expected there."""
    *above, last = error['loc'] or ('',)
    section = _at(schema, above, schema)
    name = _join(place, *error['loc'])
    if error['type'] == 'unexpected_keyword_argument':
        return _unknown(str(last), _join(place, *above), list(section['properties']))
    expected = describe(_at(schema, error['loc'], schema), schema)
    if error['type'] == 'missing':
        return f'the key {name} is missing: expected {expected}'
    return f'{name or what} must be {expected}, not {error["input"]!r}'


def _at(schema: Schema, place: Sequence[Any], whole: Schema) -> Schema:
    """The part of a schema that describes what stands at this place."""
    for key in place:
        schema = _resolved(schema, whole)
        if isinstance(key, int):
            schema = schema['prefixItems'][key] if 'prefixItems' in schema else schema['items']
        else:
            schema = schema.get('properties', {}).get(key) or schema['additionalProperties']
    return _resolved(schema, whole)


def _resolved(schema: Schema, whole: Schema) -> Schema:
    """The schema that a reference stands for; of 'this or null', this."""
    if '$ref' in schema:
        return _resolved(whole['$defs'][schema['$ref'].rpartition('/')[2]], whole)
    sections = [one for one in schema.get('anyOf', ()) if '$ref' in one]
    return {**schema, **_resolved(sections[0], whole)} if sections else schema


def describe(schema: Schema, whole: Schema) -> str:
    """A JSON Schema in words."""
    if 'anyOf' in schema:
        return ' or '.join(describe(_resolved(one, whole), whole) for one in schema['anyOf'])
    if 'enum' in schema:
        return 'one of ' + ', '.join(map(str, schema['enum']))
    if 'const' in schema:
        return str(schema['const'])
    if 'prefixItems' in schema:
        each = describe(_resolved(schema['prefixItems'][0], whole), whole)
        return f'a list of {len(schema["prefixItems"])}, each {each}'
    if schema.get('type') == 'array':
        return f'a list, each {describe(_resolved(schema.get("items", {}), whole), whole)}'
    words = _WORDS.get(schema.get('type', ''), 'any value')
    return f'{words} of at least {schema["minimum"]:g}' if 'minimum' in schema else words


def _unknown(key: str, place: str, known: Sequence[str]) -> str:
    near = get_close_matches(key, known, n=1)
    hint = f'did you mean {_join(place, near[0])}?' if near else f'known: {", ".join(known)}'
    return f'there is no key {_join(place, key)}; {hint}'


def _join(place: str, *keys: object) -> str:
    """a.b[0].c"""
    for key in keys:
        place += f'[{key}]' if isinstance(key, int) else f'.{key}' if place else str(key)
    return place
