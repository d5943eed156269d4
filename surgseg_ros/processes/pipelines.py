"""Pipelines: a graph of nodes described once in YAML, started by launch files or `surgseg up`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from surgseg_ros.media.share import PACKAGE, share
from surgseg_ros.processes import camera_arguments

_ARGUMENT = re.compile(r'\$\((\w+)\)')


@dataclass(frozen=True)
class Argument:
    """What a user may set; `default` gives the type."""

    default: object
    help: str

    def parse(self, name: str, value: object) -> object:
        """Turn a string from a command line into the default's type; ValueError if it is not."""
        wanted = type(self.default)
        if wanted is str:
            return str(value)
        parsed = yaml.safe_load(value) if isinstance(value, str) else value
        if wanted is float and isinstance(parsed, int) and not isinstance(parsed, bool):
            parsed = float(parsed)
        if type(parsed) is not wanted:
            raise ValueError(f'{name}:={value} is not of type {wanted.__name__}')
        return parsed


@dataclass(frozen=True)
class PipelineNode:
    """One process to start; parameters as ROS knows them."""

    executable: str
    name: str
    namespace: str
    package: str = PACKAGE
    parameters: dict[str, object] = field(default_factory=dict)
    remaps: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Pipeline:
    """A graph: its arguments, and the nodes that values for them give."""

    name: str
    arguments: dict[str, Argument]
    description: list[dict[str, Any]]

    @classmethod
    def load(cls, name: str) -> 'Pipeline':
        """Read config/pipelines/<name>.yaml; ValueError lists the pipelines there are."""
        path = share() / 'config' / 'pipelines' / f'{name}.yaml'
        if not path.is_file():
            known = ', '.join(sorted(other.stem for other in path.parent.glob('*.yaml')))
            raise ValueError(f'no pipeline is called {name!r}; known: {known}')
        content = yaml.safe_load(path.read_text())
        arguments = {key: Argument(**value) for key, value in content['arguments'].items()}
        for key, text in camera_arguments.HELP.items():
            arguments[key] = Argument(camera_arguments.DEFAULTS[key], text)
        return cls(name, arguments, content['nodes'])

    def nodes(self, given: Mapping[str, object]) -> list[PipelineNode]:
        """Nodes for these argument values; ValueError names an unknown or ill-typed one."""
        values = self.values(given)
        return [_make_node(entry, values) for entry in self.description if _applies(entry, values)]

    def values(self, given: Mapping[str, object]) -> dict[str, object]:
        """All arguments, including defaults, plus `share`; a bag replaces the source."""
        unknown = [name for name in given if name not in self.arguments]
        if unknown:
            raise ValueError(
                f'pipeline {self.name} has no argument {unknown[0]!r}; '
                f'it has: {", ".join(self.arguments)}'
            )
        values = {
            name: argument.parse(name, given.get(name, argument.default))
            for name, argument in self.arguments.items()
        }
        if values.get('bag'):
            values['source'] = values['bag']
        return values | {'share': str(share())}

    @staticmethod
    def environment() -> dict[str, str]:
        """What every process of a pipeline needs so that large images move fast."""
        wanted = {
            'FASTRTPS_DEFAULT_PROFILES_FILE': str(share() / 'config' / 'fastdds.xml'),
            'MALLOC_TRIM_THRESHOLD_': str(1 << 30),
            'MALLOC_MMAP_THRESHOLD_': str(1 << 25),
        }
        return {name: os.environ.get(name, value) for name, value in wanted.items()}


def _applies(entry: Mapping[str, Any], values: Mapping[str, object]) -> bool:
    when, unless = entry.get('when', {}), entry.get('unless', {})
    return all(values[name] == value for name, value in when.items()) and not any(
        values[name] == value for name, value in unless.items()
    )


def _make_node(entry: Mapping[str, Any], values: Mapping[str, object]) -> PipelineNode:
    executable = entry['executable']
    parameters = {key: _fill(value, values) for key, value in entry.get('parameters', {}).items()}
    remaps = {key: str(_fill(value, values)) for key, value in entry.get('remaps', {}).items()}
    if executable == 'endoscope_node':
        parameters |= camera_arguments.source_parameters(values)
    elif values['source'] == 'camera':
        remaps |= camera_arguments.camera_remaps(values)
        if entry.get('package', PACKAGE) == PACKAGE:
            parameters |= camera_arguments.camera_parameters(values)
    return PipelineNode(
        executable=executable,
        name=entry.get('name', executable.removesuffix('_node')),
        namespace=str(values.get('namespace', '')),
        package=entry.get('package', PACKAGE),
        parameters=parameters,
        remaps=remaps,
        arguments=[str(_fill(item, values)) for item in entry.get('arguments', [])],
    )


def _fill(template: object, values: Mapping[str, object]) -> object:
    """Insert argument values; a template that is exactly one argument keeps its type."""
    if not isinstance(template, str):
        return template
    whole = _ARGUMENT.fullmatch(template)
    if whole:
        return values[whole[1]]
    return _ARGUMENT.sub(lambda match: str(values[match[1]]), template)
