"""What a weights file says about itself, in the metadata of safetensors. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surgseg_ros.frames.foreign import parse_json
from surgseg_ros.networks import file_kinds
from surgseg_ros.networks.checked import Count, Section, parse

_MAX_HEADER = 100_000_000  # bytes; what the safetensors library accepts


@dataclass(frozen=True)
class Card(Section):
    """Which network the weights belong to, and where they come from.

    network, options: as for networks.create. class_names: index = class id, 0 = background.
    details: whatever JSON can hold about the training: recipe, data, commit, metrics,
    input_size, ...
    """

    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def untrained(self) -> tuple[int, ...]:
        """Ids of classes without a pixel in training and validation, so without a meaning.

        They are those whose IoU of the validation is not a number: neither true nor predicted.
        """
        metrics = self.details.get('metrics', {})
        ious = (metrics.get(f'IoU/{name}', 0.0) for name in self.class_names)
        return tuple(i for i, iou in enumerate(ious) if i and iou != iou)

    def metadata(self) -> dict[str, str]:
        """For safetensors.torch.save_file; read_card reads it back."""
        return {
            'network': self.network,
            'options': json.dumps(dict(self.options)),
            'class_names': json.dumps(self.class_names),
            'details': json.dumps(dict(self.details)),
        }


_JSON = ('options', 'class_names', 'details')


@dataclass(frozen=True)
class _Known(Section):
    """What some options and details have, and others rely on."""

    num_classes: Count = 1
    input_size: tuple[Count, Count] = (1, 1)  # height, width, px


def read_card(path: str | Path) -> Card | None:
    """Read the card of a .safetensors file; None where there is none or the file is another.

    Raises FileNotFoundError, or ValueError with one sentence where a card is broken.
    """
    metadata = _metadata(Path(path))
    if 'network' not in metadata:
        return None
    try:
        written = {key: parse_json(metadata[key]) for key in _JSON if key in metadata}
        card = parse(Card, {'network': metadata['network'], **written})
        both = {**card.options, **card.details}
        parse(_Known, {key: both[key] for key in ('num_classes', 'input_size') if key in both})
    except ValueError as error:
        raise ValueError(f'the card of {path} is broken: {error}') from error
    return card


def _metadata(path: Path) -> Mapping[str, str]:
    """The `__metadata__` of the header: 8 bytes of length, little endian, then JSON."""
    if not file_kinds.is_safetensors(path):
        return {}
    file_kinds.check(path)
    with path.open('rb') as file:
        length = int.from_bytes(file.read(8), 'little')
        if length > _MAX_HEADER:
            raise ValueError(f'{path} is not a safetensors file: its header has {length} bytes')
        header = file.read(length)
    try:
        metadata: Mapping[str, str] = parse_json(header.decode(), _MAX_HEADER).get(
            '__metadata__', {}
        )
    except (AttributeError, ValueError) as error:
        raise ValueError(f'{path} is not a safetensors file: its header is no JSON') from error
    return metadata
