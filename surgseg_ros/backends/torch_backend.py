"""PyTorch: the reference on a CPU, the default on an NVIDIA GPU."""

from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch

from surgseg_ros import networks
from surgseg_ros.backends.model import Model
from surgseg_ros.backends.runtime import Runtime
from surgseg_ros.networks.protocols import Inferring

_TYPES = {'f32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class TorchBackend:
    """See Backend.

    Reduced precision is autocast: coordinates and sums stay float32, which fp16 could not hold
    to a pixel. threads is set for all of torch in this process.
    """

    EXPORTED: ClassVar[bool] = False

    def __init__(self, model: Model, source: Path, runtime: Runtime) -> None:
        self._device, self._type = _device(runtime.device), _TYPES[runtime.precision]
        self._threads = runtime.threads
        torch.backends.cudnn.benchmark = True  # shapes never change
        network = networks.create(model.name, **model.options).eval()
        networks.load_checkpoint(network, source, model.base)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = cast(Inferring, network.to(self._device))

    @staticmethod
    def check(runtime: Runtime) -> None:
        """Raise ValueError if this machine cannot run it in this way."""
        if _device(runtime.device) == 'cpu' and runtime.precision == 'fp16':
            raise ValueError('the backend torch has no fp16 on the CPU: use f32 or bf16')

    @torch.inference_mode()
    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Backend."""
        if self._threads and torch.get_num_threads() != self._threads:  # a setting per thread
            torch.set_num_threads(self._threads)
        reduced = self._type != torch.float32
        with torch.autocast(self._device, self._type, enabled=reduced):
            outputs = self._network.infer(*(torch.from_numpy(x).to(self._device) for x in inputs))
        return tuple(output.float().cpu().numpy() for output in outputs)


def _device(device: str) -> str:
    if device == 'cuda' and not torch.cuda.is_available():
        raise ValueError('device is cuda, but torch finds no GPU that it can use')
    return 'cuda' if device != 'cpu' and torch.cuda.is_available() else 'cpu'
