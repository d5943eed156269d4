"""What a weights file says about itself, in the metadata of safetensors. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MAX_HEADER = 100_000_000  # bytes; what the safetensors library accepts


@dataclass(frozen=True)
class Card:
    """Which network the weights belong to, and where they come from.

    network, options: as for networks.create. class_names: index = class id, 0 = background.
    details: whatever JSON can hold about the training: recipe, data, commit, metrics,
    input_size, ...
    """

    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """For safetensors.torch.save_file; read_card reads it back."""
        return {
            'network': self.network,
            'options': json.dumps(dict(self.options)),
            'class_names': json.dumps(self.class_names),
            'details': json.dumps(dict(self.details)),
        }


def read_card(path: str | Path) -> Card | None:
    """Read the card of a .safetensors file; None where there is none or the file is another.

    Raises FileNotFoundError, or ValueError with one sentence where a card is broken.
    """
    metadata = _metadata(Path(path))
    if 'network' not in metadata:
        return None
    try:
        options, details = (json.loads(metadata.get(key, '{}')) for key in ('options', 'details'))
        class_names = tuple(json.loads(metadata.get('class_names', '[]')))
    except (TypeError, ValueError) as error:
        raise ValueError(f'the card of {path} is broken: {error}') from error
    card = Card(metadata['network'], options, class_names, details)
    flaw = _flaw(card)
    if flaw:
        raise ValueError(f'the card of {path} is broken: {flaw}')
    return card


def _flaw(card: Card) -> str:
    """What JSON may hold but a card may not; empty if there is nothing."""
    for what, values in (('options', card.options), ('details', card.details)):
        if not isinstance(values, dict):
            return f'{what} is {values!r}, expected a mapping'
    if not all(isinstance(name, str) for name in card.class_names):
        return f'class_names is {card.class_names!r}, expected strings'
    count, size = card.options.get('num_classes', 1), card.details.get('input_size', [1, 1])
    if type(count) is not int or count < 1:
        return f'num_classes is {count!r}, expected a number from 1 on'
    if not isinstance(size, list) or [type(n) for n in size] != [int, int] or min(size) < 1:
        return f'input_size is {size!r}, expected [height, width] in px'
    return ''


def _metadata(path: Path) -> Mapping[str, str]:
    """The `__metadata__` of the header: 8 bytes of length, little endian, then JSON."""
    if path.suffix != '.safetensors':
        return {}
    with path.open('rb') as file:
        length = int.from_bytes(file.read(8), 'little')
        if length > _MAX_HEADER:
            raise ValueError(f'{path} is not a safetensors file: its header has {length} bytes')
        header = file.read(length)
    try:
        metadata: Mapping[str, str] = json.loads(header).get('__metadata__', {})
    except (AttributeError, ValueError) as error:
        raise ValueError(f'{path} is not a safetensors file: its header is no JSON') from error
    return metadata
