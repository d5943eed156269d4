"""What backends run, and how they are called."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from surgseg_ros import networks

_CODE = (Path(networks.__file__).parent, Path(__file__).parent / 'export_onnx.py')


@dataclass(frozen=True)
class Model:
    """A network with its weights, for inputs of fixed shapes.

    name, options: as for networks.create. weights, base: the checkpoint, as path and base of
    networks.load_checkpoint. inputs: shape of every input of the network's `infer`, in order,
    float32.
    """

    name: str
    weights: Path
    inputs: Mapping[str, tuple[int, ...]]
    options: Mapping[str, object] = field(default_factory=dict)
    base: Path | None = None

    def digest(self) -> str:
        """Hash of all that an export depends on: weights, network code, options and shapes.

        Reads the files as bytes, so that torch is not needed once there is an export. Raises
        FileNotFoundError where there are no weights.
        """
        whole = hashlib.sha256()
        for checkpoint in filter(None, (self.weights, self.base)):
            if not checkpoint.is_file():
                raise FileNotFoundError(f'there is no checkpoint {checkpoint}')
            with checkpoint.open('rb') as file:
                whole.update(hashlib.file_digest(file, 'sha256').digest())
        for path in _CODE:
            for source in sorted(path.glob('*.py')) if path.is_dir() else [path]:
                whole.update(source.read_bytes())
        whole.update(json.dumps([self.name, dict(self.inputs), dict(self.options)]).encode())
        return whole.hexdigest()[:32]


class Backend(Protocol):
    """A model, loaded and warmed up."""

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Infer: contiguous float32 arrays of the model's shapes in, float32 arrays out.

        The outputs may live in the backend's memory: they are valid until the next run.
        """
        ...
