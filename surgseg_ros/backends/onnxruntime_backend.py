"""ONNX Runtime: runs everywhere, in float32."""

import numpy as np
import onnxruntime

from surgseg_ros.backends.exports import onnx_file
from surgseg_ros.backends.model import Model

_PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}


class OnnxRuntimeBackend:
    """See backends.create and Backend."""

    def __init__(self, model: Model, device: str, precision: str, threads: int | None) -> None:
        if precision != 'f32':
            raise ValueError(f'the backend onnxruntime computes in f32, not in {precision}')
        provider = _PROVIDERS['cpu' if device == 'auto' else device]
        if provider not in onnxruntime.get_available_providers():
            raise ImportError('device=cuda needs pip install onnxruntime-gpu')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # idle threads that spin would take the cores from the other nodes
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self._session = onnxruntime.InferenceSession(
            str(onnx_file(model)), options, providers=[provider]
        )
        self._binding = self._session.io_binding()
        self._outputs = tuple(self._bind(output) for output in self._session.get_outputs())
        self.run(*(np.zeros(shape, np.float32) for shape in model.inputs.values()))

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Backend."""
        for description, array in zip(self._session.get_inputs(), inputs, strict=True):
            self._binding.bind_cpu_input(description.name, array)
        self._session.run_with_iobinding(self._binding)
        return self._outputs

    def _bind(self, output: onnxruntime.NodeArg) -> np.ndarray:
        """Make the array that this output will always be written to."""
        array = np.empty(output.shape, np.float32)
        self._binding.bind_output(
            output.name, 'cpu', 0, np.float32, array.shape, array.ctypes.data
        )
        return array
