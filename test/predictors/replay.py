"""A backend for tests: it answers what it is told, and keeps what it was asked."""

import numpy as np


class Replay:
    """inputs: for every run, copies of its arrays, which predictors use again."""

    def __init__(self, *outputs: np.ndarray) -> None:
        self.outputs, self.inputs = outputs, []

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """See backends.model.Backend."""
        self.inputs.append([tensor.copy() for tensor in inputs])
        return self.outputs
