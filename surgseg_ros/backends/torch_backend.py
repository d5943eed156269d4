"""PyTorch: the reference on a CPU, the default on an NVIDIA GPU."""

from typing import Any

import numpy as np
import torch

from surgseg_ros import networks
from surgseg_ros.backends.model import Model

_TYPES = {'f32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class TorchBackend:
    """See backends.create and Backend.

    Reduced precision is autocast: coordinates and sums stay float32, which fp16 could not hold
    to a pixel. threads is set for all of torch in this process.
    """

    def __init__(self, model: Model, device: str, precision: str, threads: int | None) -> None:
        self._device = _device(device)
        self._type = _TYPES[precision]
        if self._device == 'cpu' and precision == 'fp16':
            raise ValueError('the backend torch has no fp16 on the CPU: use f32 or bf16')
        if threads:
            torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = True  # shapes never change
        network = networks.create(model.name, **model.options).eval()
        networks.load_checkpoint(network, model.weights, model.base)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: Any = network.to(self._device)
        self.run(*(np.zeros(shape, np.float32) for shape in model.inputs.values()))

    @torch.inference_mode()
    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Backend."""
        reduced = self._type != torch.float32
        with torch.autocast(self._device, self._type, enabled=reduced):
            outputs = self._network.infer(*(torch.from_numpy(x).to(self._device) for x in inputs))
        return tuple(output.float().cpu().numpy() for output in outputs)


def _device(device: str) -> str:
    if device == 'cuda' and not torch.cuda.is_available():
        raise ValueError('device is cuda, but torch finds no GPU that it can use')
    return 'cuda' if device != 'cpu' and torch.cuda.is_available() else 'cpu'
