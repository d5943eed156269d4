"""OpenVINO: the fastest on x86 CPUs (Intel's and AMD's), and small in memory."""

import numpy as np
import openvino

from surgseg_ros.backends.exports import cache_folder, onnx_file
from surgseg_ros.backends.model import Model

_TYPES = {'f32': 'f32', 'bf16': 'bf16', 'fp16': 'f16'}
_CAPABILITIES = {'f32': 'FP32', 'bf16': 'BF16', 'fp16': 'FP16'}


class OpenVinoBackend:
    """See backends.create and Backend. bf16 and fp16 only where the CPU computes in them."""

    def __init__(self, model: Model, device: str, precision: str, threads: int | None) -> None:
        if device == 'cuda':
            raise ValueError('the backend openvino runs on the CPU: device=cuda needs torch')
        core = openvino.Core()
        if _CAPABILITIES[precision] not in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
            raise ValueError(f'this CPU does not compute in {precision}: use precision=f32')
        config = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': _TYPES[precision],
            'CACHE_DIR': str(cache_folder() / 'openvino'),
        }
        if threads:
            config['INFERENCE_NUM_THREADS'] = str(threads)
        compiled = core.compile_model(onnx_file(model), 'CPU', config)
        self._request = compiled.create_infer_request()
        self.run(*(np.zeros(shape, np.float32) for shape in model.inputs.values()))

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Backend."""
        results = self._request.infer(list(inputs), share_inputs=True, share_outputs=True)
        return tuple(results.to_tuple())
