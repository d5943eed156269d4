"""What is known of an instrument before it is seen: radius, lengths and limits, by its class."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from surgseg_ros.frames.foreign import parse_yaml, read_text

_LENGTHS = ('radius', 'radius_stddev', 'pitch', 'wrist', 'jaws', 'length_stddev')
_PAIRS = ('jaw_width', 'jaw_thickness')
_ANGLES = ('pitch_limit', 'yaw_limit', 'opening_limit')


@dataclass(frozen=True)
class InstrumentShape:
    """One class of instrument; lengths in m, angles in rad; see config/instruments.yaml."""

    radius: float
    radius_stddev: float
    pitch: float
    wrist: float
    jaws: float
    length_stddev: float
    jaw_width: tuple[float, float]
    jaw_thickness: tuple[float, float]
    pitch_limit: float
    yaw_limit: float
    opening_limit: float
    symmetric: bool


class InstrumentTable:
    """Shapes by class name."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Take what the YAML says; ValueError names what is missing or unknown."""
        if 'default' not in entries:
            raise ValueError("a table of instruments needs an entry 'default'")
        default = entries['default']
        self._shapes = {name: _shape(name, {**default, **own}) for name, own in entries.items()}

    @classmethod
    def read(cls, path: str | Path) -> 'InstrumentTable':
        """Read a YAML file; OSError if there is none, ValueError if it is no such table."""
        entries = parse_yaml(read_text(Path(path)), yaml.SafeLoader)
        if not isinstance(entries, dict):
            raise ValueError(f'{path} holds no table of instruments')
        return cls(entries)

    def shape(self, class_name: str) -> InstrumentShape:
        """Shape of this class; that of 'default', with its wide errors, if it is not listed."""
        return self._shapes.get(class_name, self._shapes['default'])


def _shape(name: str, entry: Mapping[str, Any]) -> InstrumentShape:
    known = {field.name for field in fields(InstrumentShape)}
    if entry.keys() != known:
        wrong = ', '.join(sorted(entry.keys() ^ known))
        raise ValueError(f'instrument {name!r}: missing or unknown: {wrong}')
    values = dict(entry)
    values |= {key: 1e-3 * float(entry[key]) for key in _LENGTHS}
    values |= {key: tuple(1e-3 * float(v) for v in entry[key]) for key in _PAIRS}
    values |= {key: float(np.deg2rad(entry[key])) for key in _ANGLES}
    return InstrumentShape(**values)
