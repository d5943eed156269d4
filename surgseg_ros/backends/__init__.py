"""Run a network fast, by whatever this machine has. Importing this imports no backend."""

import ctypes
from importlib import import_module
from importlib.util import find_spec

from surgseg_ros import networks
from surgseg_ros.backends.model import Backend, Model

PRECISIONS = ('f32', 'bf16', 'fp16')
DEVICES = ('cpu', 'cuda')
# fastest first on a CPU; each is also the name of the package that it needs
_KINDS = {
    'openvino': 'surgseg_ros.backends.openvino_backend:OpenVinoBackend',
    'onnxruntime': 'surgseg_ros.backends.onnxruntime_backend:OnnxRuntimeBackend',
    'torch': 'surgseg_ros.backends.torch_backend:TorchBackend',
}


def available() -> list[str]:
    """Kinds that create() knows, installed or not, the fastest on a CPU first."""
    return list(_KINDS)


def create(
    kind: str,
    model: Model,
    device: str = 'auto',
    precision: str = 'auto',
    threads: int | None = None,
) -> Backend:
    """Load a model and warm it up.

    kind: 'openvino', 'onnxruntime', 'torch', or 'auto': torch where it finds a GPU, else the
    first of the list that is installed. device: 'cpu', 'cuda' or 'auto'. precision: 'f32',
    'bf16', 'fp16', or 'auto', which the network's spec decides. threads: of the CPU, None for all.
    Raises ValueError for what cannot be, ImportError naming the package to install.
    """
    _check('backend', kind, ('auto', *_KINDS))
    _check('device', device, ('auto', *DEVICES))
    _check('precision', precision, ('auto', *PRECISIONS))
    if threads is not None and threads < 1:
        raise ValueError(f'threads is {threads}, expected at least 1, or None for all')
    if kind == 'auto':
        kind = choose(device)
    if find_spec(kind) is None:
        raise ImportError(f'the backend {kind} is not installed: pip install {kind}')
    if precision == 'auto':
        precision = networks.spec(model.name).precision
    module, _, attribute = _KINDS[kind].partition(':')
    backend: Backend = getattr(import_module(module), attribute)(
        model, device=device, precision=precision, threads=threads
    )
    return backend


def choose(device: str = 'auto') -> str:
    """The kind that 'auto' means on this machine."""
    if device != 'cpu' and find_spec('torch') and gpu_visible():
        import torch

        if torch.cuda.is_available():
            return 'torch'
    for kind in _KINDS:
        if find_spec(kind):
            return kind
    raise ImportError('no backend is installed: pip install openvino')


def gpu_visible() -> bool:
    """Whether the CUDA driver has a GPU for this process; asks without importing torch."""
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    count = ctypes.c_int()
    return (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f'{what} is {value!r}, expected one of {", ".join(known)}')
