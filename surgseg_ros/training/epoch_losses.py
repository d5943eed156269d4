"""The losses of an epoch's steps, summed up until the epoch ends."""

import math
from collections import defaultdict
from collections.abc import Mapping

from torch import Tensor


class EpochLosses:
    """Sums by the name of the loss, in this process; on the GPU until somebody reads them."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = defaultdict(float)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add those of one step."""
        for name, value in losses.items():
            self._sums[name] += value.detach()

    def clear(self) -> None:
        """Begin the next epoch."""
        self._sums.clear()

    def means(self, steps: int, step: int) -> dict[str, float]:
        """Means over the steps of this epoch so far; ValueError if one is not finite.

        step: of the whole run, which the error names.
        """
        means = {name: float(total) / max(steps, 1) for name, total in self._sums.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise ValueError(
                    f'{name} became {mean} before step {step}: a '
                    'smaller optimiser.learning_rate or a clip_norm may help'
                )
        return means

    def state_dict(self) -> dict[str, float]:
        """What a resumed run needs."""
        return {name: float(total) for name, total in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on with the sums of a run that was stopped."""
        self._sums.update(state)
