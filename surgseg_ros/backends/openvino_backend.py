"""OpenVINO: the fastest on x86 CPUs (Intel's and AMD's), and small in memory."""

import sys
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from surgseg_ros.backends.exports import compiled_folder
from surgseg_ros.backends.model import Model
from surgseg_ros.backends.runtime import Runtime

# Importing it would look up an analytics server; hiding this package prevents that.
sys.modules['openvino_telemetry'] = None  # type: ignore[assignment]
import openvino  # noqa: E402

_TYPES = {'f32': 'f32', 'bf16': 'bf16', 'fp16': 'f16'}
_CAPABILITIES = {'f32': 'FP32', 'bf16': 'BF16', 'fp16': 'FP16'}


class OpenVinoBackend:
    """See Backend. bf16 and fp16 only where the CPU computes in them."""

    EXPORTED: ClassVar[bool] = True

    def __init__(self, model: Model, source: Path, runtime: Runtime) -> None:
        config = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': _TYPES[runtime.precision],
        }
        if runtime.threads:
            config['INFERENCE_NUM_THREADS'] = str(runtime.threads)
        with compiled_folder(source.stem) as folder:
            compiled = _core().compile_model(source, 'CPU', {**config, 'CACHE_DIR': str(folder)})
        self._request = compiled.create_infer_request()

    @staticmethod
    def check(runtime: Runtime) -> None:
        """Raise ValueError if this machine cannot run it in this way."""
        if runtime.device == 'cuda':
            raise ValueError('the backend openvino runs on the CPU: device=cuda needs torch')
        known = _core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        if _CAPABILITIES[runtime.precision] not in known:
            raise ValueError(
                f'this CPU does not compute in {runtime.precision}: use precision=f32'
            )

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Backend."""
        results = self._request.infer(list(inputs), share_inputs=True, share_outputs=True)
        outputs: tuple[np.ndarray, ...] = tuple(results.to_tuple())
        return outputs


@cache
def _core() -> openvino.Core:
    """The plugins of this process: loaded once, and never dropped."""
    return openvino.Core()
