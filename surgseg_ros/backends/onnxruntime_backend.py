"""ONNX Runtime: runs everywhere, in float32."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime

from surgseg_ros.backends.model import Model
from surgseg_ros.backends.runtime import Runtime

_PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}


class OnnxRuntimeBackend:
    """See Backend."""

    EXPORTED: ClassVar[bool] = True

    def __init__(self, model: Model, source: Path, runtime: Runtime) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = runtime.threads or 0
        # idle threads that spin would take the cores from the other nodes
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self._session = onnxruntime.InferenceSession(
            str(source), options, providers=[_provider(runtime)]
        )
        self._binding = self._session.io_binding()
        self._outputs = tuple(self._bind(output) for output in self._session.get_outputs())

    @staticmethod
    def check(runtime: Runtime) -> None:
        """Raise ValueError or ImportError if this machine cannot run it in this way."""
        if runtime.precision != 'f32':
            raise ValueError(
                f'the backend onnxruntime computes in f32, not in {runtime.precision}'
            )
        if _provider(runtime) not in onnxruntime.get_available_providers():
            raise ImportError('device=cuda needs pip install onnxruntime-gpu')

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


def _provider(runtime: Runtime) -> str:
    return _PROVIDERS['cuda' if runtime.device == 'cuda' else 'cpu']
