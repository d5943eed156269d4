"""Run a network with the fastest backend of this machine. Importing this imports no backend."""

import ctypes
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from surgseg_ros import networks
from surgseg_ros.backends import owner
from surgseg_ros.backends.exports import onnx_file
from surgseg_ros.backends.model import Backend, Model
from surgseg_ros.backends.runtime import AUTO, BACKENDS, DEVICES, PRECISIONS, Runtime
from surgseg_ros.registry import Registry

__all__ = [
    'AUTO',
    'BACKENDS',
    'DEVICES',
    'PRECISIONS',
    'Backend',
    'Model',
    'Runtime',
    'available',
    'choose',
    'create',
    'gpu_visible',
]

# each name is also that of the package that it needs
_KINDS = Registry(
    'backend',
    {
        'openvino': 'surgseg_ros.backends.openvino_backend:OpenVinoBackend',
        'onnxruntime': 'surgseg_ros.backends.onnxruntime_backend:OnnxRuntimeBackend',
        'torch': 'surgseg_ros.backends.torch_backend:TorchBackend',
    },
)


def available() -> list[str]:
    """Names of backends, installed or not, the fastest on a CPU first."""
    return list(BACKENDS)


def create(model: Model, runtime: Runtime = AUTO) -> Backend:
    """Load a model and warm it up.

    The owning thread (see owner) creates and destroys it. The calling thread runs it once; after
    that all threads may. Raises ValueError for an impossible combination,
    ImportError naming the package to install, and what exports.onnx_file raises.
    """
    runtime = _resolved(runtime, model.name)
    if find_spec(runtime.backend) is None:
        raise ImportError(
            f'the backend {runtime.backend} is not installed: pip install {runtime.backend}'
        )
    kind = _KINDS.load(runtime.backend)
    owner.call(lambda: kind.check(runtime))  # before an export that takes seconds
    source = onnx_file(model) if kind.EXPORTED else model.weights
    backend = owner.OwnedBackend(lambda: kind(model, source, runtime))
    backend.run(*(np.zeros(shape, np.float32) for shape in model.inputs.values()))
    return backend


def _resolved(runtime: Runtime, network: str) -> Runtime:
    """The runtime with what 'auto' means for backend and precision."""
    backend, precision = runtime.backend, runtime.precision
    return replace(
        runtime,
        backend=choose(runtime.device) if backend == 'auto' else backend,
        precision=networks.spec(network).precision if precision == 'auto' else precision,
    )


def choose(device: str = 'auto') -> str:
    """The backend that 'auto' means on this machine."""
    if device != 'cpu' and find_spec('torch') and gpu_visible():
        import torch

        if torch.cuda.is_available():
            return 'torch'
    for name in BACKENDS:
        if find_spec(name):
            return name
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
