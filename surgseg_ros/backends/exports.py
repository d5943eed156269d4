"""The cache of exported networks. Nothing here imports torch: an export runs in a process of
its own, which also keeps torch's compiler away from a renderer in this one.
"""

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from surgseg_ros.backends.model import Model
from surgseg_ros.media import children

_KEPT = ('onnx', 'openvino')  # folders in the cache


def cache_folder() -> Path:
    """Where exports and compiled networks are kept: $SURGSEG_CACHE or ~/.cache/surgseg_ros."""
    return Path(os.environ.get('SURGSEG_CACHE') or Path.home() / '.cache' / 'surgseg_ros')


def cache_bytes() -> int:
    """How much the cache holds."""
    return sum(
        path.stat().st_size
        for kept in _KEPT
        for path in (cache_folder() / kept).rglob('*')
        if path.is_file()
    )


def clear_cache() -> None:
    """Delete all exports and compiled networks; who needs one makes it again (seconds each)."""
    for kept in _KEPT:
        shutil.rmtree(cache_folder() / kept, ignore_errors=True)


def onnx_file(model: Model) -> Path:
    """Return the model as an ONNX file, exporting it the first time (seconds, needs torch).

    Several processes may ask at once: the file appears complete or not at all. Raises ValueError
    or FileNotFoundError where the weights are not the network's, ImportError where packages are
    missing for an export, OSError where it fails.
    """
    folder = cache_folder() / 'onnx'
    path = folder / f'{model.name}-{model.digest()}.onnx'
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            partial = Path(scratch) / path.name
            _export(model, partial)
            partial.replace(path)
    return path


def _export(model: Model, path: Path) -> None:
    missing = [name for name in ('torch', 'onnx', 'onnxscript') if find_spec(name) is None]
    if missing:
        raise ImportError(f'exporting {model.name} needs pip install {" ".join(missing)}')
    request = json.dumps(asdict(model), default=lambda path: str(path.absolute()))
    words = ('-m', 'surgseg_ros.backends.export_onnx', request, str(path))
    child = children.run(children.python(*words))
    if child.returncode:
        reason = children.last_line(child)
        if child.returncode == 3:
            raise ValueError(reason)
        raise OSError(f'{model.name} could not be exported to ONNX: {reason}')
