"""Write one model as ONNX: python -m surgseg_ros.backends.export_onnx REQUEST PATH.

REQUEST is a Model as JSON. Exit code 3: the model is invalid; the last line of stderr says why.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surgseg_ros import networks
from surgseg_ros.backends.model import Model
from surgseg_ros.frames.foreign import say

# 18: the last one whose GridSample TensorRT evaluates correctly (NVIDIA/TensorRT#4646)
OPSET = 18


class _Inference(nn.Module):
    """The network's `infer` as a forward, which is what gets exported."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self.network.infer(*inputs)
        return outputs


def export(model: Model, path: Path) -> None:
    """Export `infer` of the network in evaluation mode, float32, with fixed shapes."""
    network = networks.create(model.name, **model.options).eval()
    networks.load_checkpoint(network, model.weights, model.base)
    torch.onnx.export(
        _Inference(network),
        tuple(torch.zeros(tuple(shape)) for shape in model.inputs.values()),
        path,
        input_names=list(model.inputs),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
    )


def main(request: str, path: str) -> int:
    """Serve one request; returns the exit code."""
    fields = json.loads(request)
    fields.update({key: Path(fields[key]) for key in ('weights', 'base') if fields[key]})
    try:
        export(Model(**fields), Path(path))
    except (ValueError, TypeError, OSError) as error:
        say(error, to=sys.stderr)
        return 3
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
